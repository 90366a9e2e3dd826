"""What every route answers alike, asked of every route at every base path: a new one is covered by being there.

A route that needs something to be asked about names it in one of three tables: ROWS (a row to find, by basename), BODIES (a body that passes, by basename
and action) and CHILDREN (the rows of a nested list). Without its entry the new route fails, and says so.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any
from zlib import crc32

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from pyotp import TOTP
from rest_framework.test import APIClient, ForceAuthClientHandler

from accounts.models import AuditEntry, Company, Membership, Purpose
from accounts.services import mail, two_factor
from accounts.services.companies import create_outlet
from accounts.services.invitations import invite
from accounts.services.keys import Grantor, create_api_key
from accounts.services.sessions import open_session
from agents import services as agents
from agents.models import AgentExecution
from billing.services import set_plan
from craft.api.docs import document_path
from craft.api.envelopes import Dialect, dialect_for
from craft.api.schema import DOCUMENTS
from craft.api.viewsets import level_for
from craft.events import Event, publish
from datasources.models import DataSource, DataTable
from integrations.services.credentials import create_credential
from tests.conftest import StandingCast
from tests.factories import (
    PASSWORD,
    Person,
    make_company,
    make_key,
    make_person,
    make_workflow,
)
from workflows.models import Approval, Execution, Step, Workflow
from workflows.services.executions import start_execution
from workflows.services.tests import create_test
from workflows.services.trigger_secrets import change_secret
from workflows.services.workflows import create_workflow, update_workflow

pytestmark = pytest.mark.usefixtures("standing_cast")

# --- What routes need to be asked about: a new route adds its own here ---

GRAPH = {"nodes": [{"id": "start", "type": "input", "config": {}}], "edges": []}


def make_api_key(person: Person) -> str:
    new = create_api_key(
        membership=person.membership,
        name="Another",
        permissions=["admin"],
        look="cv",
        by=Grantor(frozenset({"admin"})),
    )
    return new.api_key.pk


def make_own_workflow(person: Person) -> str:
    """One with all that routes below it ask for."""
    rarely = {"type": "cron", "schedule": "@yearly"}
    workflow = make_workflow(person, **GRAPH, trigger=rarely)
    change_secret(workflow, user=person.user)
    return workflow.pk


def make_execution(person: Person, workflow_id: str | None = None) -> str:
    found = Workflow.objects.for_company(person.company).filter(pk=workflow_id)
    execution = start_execution(
        workflow=found.first() or make_workflow(person, **GRAPH),
        company=person.company,
        user=person.user,
        input={},
        trigger={"type": "api"},
    )
    return execution.pk


def make_version(person: Person, workflow_id: str) -> None:
    workflow = Workflow.objects.for_company(person.company).get(pk=workflow_id)
    update_workflow(
        workflow, user=person.user, variables={"turn": workflow.versions.count()}
    )


def make_agent(person: Person) -> str:
    return agents.create_agent(
        company=person.company, user=person.user, name="Helper", type="support"
    ).pk


def make_agent_execution(person: Person, agent_id: str) -> None:
    AgentExecution.objects.create(
        company=person.company,
        agent_id=agent_id,
        version=1,
        input="Hello",
        model="craftai-1",
        status="completed",
    )


def make_member(person: Person) -> str:
    """Who is no owner, so that they can be removed."""
    return make_person(company=person.company, role="viewer").user.pk


def make_place(person: Person) -> int:
    """Another company of theirs."""
    return Membership.objects.create(
        user=person.user, company=make_company()
    ).company_id


def make_invitation(person: Person) -> str:
    """Sent a while ago, so that it can be sent again."""
    invitation = invite(
        company=person.company,
        user=person.user,
        email=f"guest{next(_addresses)}@example.com",
        role="viewer",
    )
    invitation.sent_at -= timedelta(hours=1)
    invitation.save()
    return invitation.pk


def make_outlet(person: Person) -> str:
    return create_outlet(company=person.company, name="Main Store").pk


def make_data_source(person: Person) -> str:
    source = DataSource.objects.create(company=person.company, source_name="Orders")
    DataTable.objects.create(company=person.company, source=source, name="orders")
    return source.pk


def make_credential(person: Person) -> str:
    return create_credential(
        company=person.company,
        user=person.user,
        name=f"Credential {next(_addresses)}",
        type="api_key",
        value="a-secret-value",
    ).pk


def make_audit_entry(person: Person) -> str:
    publish(Event("thing.changed", person.company.pk, {"thing_id": "thing_1"}))
    return AuditEntry.objects.for_company(person.company).latest("pk").pk


def workflow_with_tests(company_id: int) -> str:
    """The one whose tests are asked about."""
    found = Workflow.unscoped.filter(company_id=company_id, name="Tested").first()
    company = Company.objects.filter(pk=company_id).first()
    if found is None and company is not None:
        found = create_workflow(company=company, user=None, name="Tested", **GRAPH)
    return found.pk if found else "none_01"


def make_test(person: Person) -> str:
    pk = workflow_with_tests(person.company.pk)
    workflow = Workflow.objects.for_company(person.company).get(pk=pk)
    return create_test(workflow=workflow, user=person.user, name="Kept").pk


def make_approval(person: Person) -> str:
    execution = Execution.unscoped.get(pk=make_execution(person))
    Execution.unscoped.filter(pk=execution.pk).update(created_by=None)
    return Approval.unscoped.create(
        company=person.company,
        execution=execution,
        node_id="ask",
        slot="ask::1",
        title="May it?",
    ).pk


ROWS: dict[str, Callable[[Person], str]] = {
    "audit-entry": make_audit_entry,
    "session": lambda person: open_session(person.membership).session.pk,
    "api-key": make_api_key,
    "workflow": make_own_workflow,
    "execution": make_execution,
    "workflow-test": make_test,
    "agent": make_agent,
    "data-source": make_data_source,
    "company": lambda person: str(person.company.pk),
    "member": make_member,
    "outlet": make_outlet,
    "own-company": make_place,
    "invitation": make_invitation,
    "approval": make_approval,
    "credential": make_credential,
}
"""For each basename with routes below an id: makes a row in this person's company and answers its id."""

PARTS = {"number": "1", "node_id": "start"}
"""The other parts of paths, with one that is there in every row of ROWS."""

EVERYBODYS = {"model": "craftai-1", "template": "lead-scoring"}
"""The basenames whose objects belong to no company, with the id of one."""

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("api-key", "create"): {"name": "New", "permissions": ["admin"]},
    ("workflow", "create"): {"name": "New", **GRAPH},
    ("execution", "fork"): {"node_id": "start", "output": 1},
    ("execution", "partial_update"): {"labels": {"customer": "42"}},
    ("agent", "create"): {"name": "New", "type": "support"},
    ("agent", "update"): {"name": "Changed"},
    ("api-key", "update"): {"name": "Changed"},
    ("api-key", "partial_update"): {"name": "Changed"},
    ("agent", "partial_update"): {"name": "Changed"},
    ("workflow", "update"): {"name": "Changed"},
    ("workflow", "rate"): {"rating": 4},
    ("workflow", "from_template"): {"template_id": "lead-scoring"},
    ("workflow-test", "create"): {"name": "New"},
    ("workflow-test", "update"): {"name": "Changed"},
    ("workflow-test", "partial_update"): {"name": "Changed"},
    ("workflow", "partial_update"): {"name": "Changed"},
    ("workflow", "backfill_schedule"): {
        "from": "2026-03-01T00:00:00Z",
        "to": "2026-03-02T00:00:00Z",
    },
    ("data-source", "update"): {"source_name": "Changed"},
    ("data-source", "partial_update"): {"source_name": "Changed"},
    ("auth", "register"): {
        "email": "new@example.com",
        "password": "correct horse battery staple",
        "full_name": "New",
        "company_name": "New",
    },
    ("agent", "execute"): {"input": "Hello"},
    ("agent", "preview_test"): {"input": "Hello"},
    ("company", "update"): {"name": "Changed"},
    ("company", "partial_update"): {"name": "Changed"},
    ("company", "transfer_ownership"): {"user_id": "user_none"},
    ("company", "destroy"): {"password": "wrong"},
    ("member", "update"): {"role": "member"},
    ("member", "partial_update"): {"role": "member"},
    ("outlet", "update"): {"name": "Changed"},
    ("outlet", "partial_update"): {"name": "Changed"},
    ("account", "change_profile"): {"full_name": "Changed"},
    ("account", "put_profile"): {"full_name": "Changed"},
    ("outlet", "create"): {"name": "New"},
    ("credential", "create"): {
        "name": "Slack Bot Token",
        "type": "api_key",
        "value": "xoxb-your-token",
    },
    ("credential", "update"): {"name": "Changed"},
    ("credential", "partial_update"): {"value": "another-secret"},
    ("invitation", "create"): {"email": "new@example.com"},
    ("acceptance", "accept"): {"token": "none"},
    ("account", "switch"): {"company_id": 1_000_000},
    ("execution", "signals"): {"name": "paid"},
    ("workflow", "execute_batch"): {"inputs": [{"n": 1}, {"n": 2}]},
}
"""For each basename and action that wants a body: one that passes."""


def make_step(person: Person, execution_id: str) -> None:
    place = Step.objects.filter(execution=execution_id).count()
    Step.objects.create(
        execution_id=execution_id,
        node_id=f"n{place}",
        position=place,
        type="transform",
        status="completed",
        started_at=timezone.now(),
    )


CHILDREN: dict[tuple[str, str], Callable[[Person, str], Any]] = {
    ("workflow", "executions"): make_execution,
    ("workflow", "versions"): make_version,
    ("execution", "steps"): make_step,
    ("agent", "executions"): make_agent_execution,
}
"""For each nested list: adds a row to it."""


def as_json(**data: Any) -> dict[str, Any]:
    return {"data": data, "format": "json"}


def give_password(person: Person) -> str:
    person.user.set_password(PASSWORD)
    person.user.save()
    return PASSWORD


def turn_on_two_factor(person: Person) -> str:
    """A code that is still good."""
    app = begin_two_factor(person)
    two_factor.confirm_two_factor(user=person.user, code=app.now())
    return app.at(time.time(), counter_offset=1)


def begin_two_factor(person: Person) -> TOTP:
    give_password(person)
    begun = two_factor.begin_two_factor(user=person.user, password=PASSWORD)
    return TOTP(begun.secret)


def mail_token(person: Person, purpose: Purpose, email: str = "") -> str:
    email = email or person.user.email
    return mail.make_token(purpose=purpose, email=email, user=person.user).text


CHANGED: dict[tuple[str, str], Callable[[Person], dict[str, Any]]] = {
    ("data-source", "upload"): lambda person: {
        "data": {"file": SimpleUploadedFile("orders.csv", b"id,total\n1,2\n")},
        "format": "multipart",
    },
    ("account", "password"): lambda person: as_json(
        current_password=give_password(person), new_password="another good sentence"
    ),
    ("account", "email"): lambda person: as_json(
        password=give_password(person), new_email="another@example.com"
    ),
    ("account", "delete_account"): lambda person: as_json(
        password=give_password(person)
    ),
    ("two-factor", "begin"): lambda person: as_json(password=give_password(person)),
    ("two-factor", "confirm"): lambda person: as_json(
        code=begin_two_factor(person).now()
    ),
    ("two-factor", "renew_recovery_codes"): lambda person: as_json(
        code=turn_on_two_factor(person), password=PASSWORD
    ),
    ("two-factor", "disable"): lambda person: as_json(
        code=turn_on_two_factor(person), password=PASSWORD
    ),
    ("auth", "reset_password"): lambda person: as_json(
        token=mail_token(person, Purpose.RESET_PASSWORD),
        password="another good sentence",
    ),
    ("auth", "verify_email"): lambda person: as_json(
        token=mail_token(person, Purpose.VERIFY_EMAIL)
    ),
    ("auth", "change_email"): lambda person: as_json(
        token=mail_token(person, Purpose.CHANGE_EMAIL, "another@example.com")
    ),
}
"""For each basename and action that takes something else than JSON, or something of the caller's: what to send."""

ENDS_ITS_CALLER = {("session", "end_all"), ("account", "delete_account")}
"""The calls after which whoever made them is let in no more, so that nobody can make them again."""

TRACES: dict[tuple[str, str], list[str]] = {
    ("auth", "register"): [
        "company.created",
        "session.opened",
        "subscription.changed",
        "user.registered",
    ],
    ("auth", "login"): [],
    ("auth", "forgot_password"): [],
    ("auth", "resend_verification"): [],
    ("auth", "reset_password"): [
        "user.password_changed",
        "user.signed_out",
        "user.verified",
    ],
    ("account", "password"): ["user.password_changed", "user.signed_out"],
    ("account", "delete_account"): [],  # the company's log goes with the company
    ("auth", "refresh"): [],
    ("auth", "logout"): [],
    ("company", "transfer_ownership"): [],  # to nobody; tests/accounts/test_members.py
    ("account", "switch"): [],
    ("company", "destroy"): [],  # tests/accounts/test_privacy.py
    ("acceptance", "accept"): [],  # by nothing; tests/accounts/test_invitations.py
    ("agent", "execute"): [],
    ("workflow", "execute_batch"): [],
    ("agent", "preview_test"): [],
    ("workflow", "execute"): [],
    ("workflow", "trigger"): [],
    (
        "workflow",
        "resume_schedule",
    ): [],  # of what was not paused; tests/workflows/test_schedules_api.py
    ("workflow", "validate"): [],
    ("workflow-test", "run"): [],
    ("workflow", "run_node"): [],
    ("execution", "rerun"): [],
    ("execution", "fork"): [],
    ("data-source", "query"): [],
    ("data-source", "test_connection"): [],
    ("credential", "test"): [],
}
"""The calls that are not a GET and leave another trace in the audit log than one entry: those that change nothing (runs and questions are none), and those
that make several things at once."""


# --- The routes, out of the URL conf ---


@dataclass(frozen=True)
class Call:
    """One method of one route at one base path."""

    template: str
    method: str
    view: Any
    action: str
    basename: str

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def dialect(self) -> Dialect:
        return dialect_for(self.template)

    @property
    def level(self) -> str:
        return level_for(self.view.access, self.action, self.method)

    @property
    def has_id(self) -> bool:
        return "{pk}" in self.template

    @property
    def described(self) -> dict[str, Any]:
        """The call in the OpenAPI document; the alias is described as what it is an alias of."""
        path = self.template.replace("/api/workflows", "/v1/workflows")
        name = "api_v1" if path.startswith("/api/v1") else "v1"
        path = path.replace("{pk}", "{id}")
        operation: dict[str, Any] = document(name)["paths"][path][self.method.lower()]
        return operation

    @property
    def is_list(self) -> bool:
        return any(
            parameter["name"] == "limit"
            for parameter in self.described.get("parameters", [])
        )

    @property
    def takes_json(self) -> bool:
        return "application/json" in self.described.get("requestBody", {}).get(
            "content", {}
        )

    @property
    def is_strict(self) -> bool:
        if not self.takes_json:
            return False
        content = self.described["requestBody"]["content"]["application/json"]
        reference = content["schema"].get("$ref", "")
        name = "api_v1" if self.dialect.name == "named" else "v1"
        schemas = document(name)["components"]["schemas"]
        schema = schemas.get(reference.rpartition("/")[2], {})
        return schema.get("additionalProperties") is False

    @property
    def parted(self) -> str:
        path = self.template
        for name, value in PARTS.items():
            path = path.replace(f"{{{name}}}", value)
        return path

    def path(self, pk: str = "none_01", client: Any = None) -> str:
        """Below `/companies/{company_id}`: of the company that calls."""
        known = self.parted.replace("{pk}", "").replace("{company_id}", "")
        known = known.replace("{workflow_id}", "")
        assert "{" not in known, (
            f"{self}: only {{pk}} and {{company_id}} are known to this test; teach it the other part of the path."
        )
        company_id = str(getattr(client, "company_id", 1))
        path = self.parted.replace("{company_id}", company_id)
        if "{workflow_id}" in path:
            path = path.replace("{workflow_id}", workflow_with_tests(int(company_id)))
        return path.replace("{pk}", pk)

    def send(self, client: APIClient, pk: str = "none_01", **extra: Any) -> Any:
        if self.method != "GET" and not extra:
            extra = {"data": self.body, "format": "json"}
        if self.level in {"person", "owner"}:
            client = client.signed_in or client
        return client.generic_call(self.method, self.path(pk, client), **extra)

    @property
    def body(self) -> dict[str, Any]:
        return BODIES.get((self.basename, self.action), {})

    def own_id(self, person: Person) -> str:
        if not self.has_id:
            if "{workflow_id}" in self.template:
                workflow_with_tests(person.company.pk)
            return ""
        if self.basename in EVERYBODYS:
            return EVERYBODYS[self.basename]
        if self.basename not in ROWS:
            pytest.fail(
                f"{self}: add a factory for {self.basename!r} to ROWS in tests/test_api_contract.py."
            )
        return ROWS[self.basename](person)


@cache
def document(name: str) -> dict[str, Any]:
    """The committed one, which is there at once; `test_openapi.py` asks whether it is up to date."""
    assert name in DOCUMENTS
    read: dict[str, Any] = json.loads(document_path(name).read_text(encoding="utf-8"))
    return read


def find_calls() -> Iterator[Call]:
    for base in get_resolver().url_patterns:
        if not isinstance(base, URLResolver) or base.namespace not in {
            "api_v1",
            "v1",
            "alias",
        }:
            continue
        for route in base.url_patterns:
            yield from calls_of(f"/{base.pattern}", route)


def calls_of(base: str, route: Any) -> Iterator[Call]:
    template = str(route.pattern).strip("^$")
    for name in route.pattern.regex.groupindex:
        start = template.index(f"(?P<{name}>")
        depth, end = 0, start
        while True:
            depth += {"(": 1, ")": -1}.get(template[end], 0)
            end += 1
            if depth == 0:
                break
        template = f"{template[:start]}{{{name}}}{template[end:]}"
    for method, action in route.callback.actions.items():
        if method != "head":
            yield Call(
                base + template,
                method.upper(),
                route.callback.cls,
                action,
                route.callback.initkwargs["basename"],
            )


EVERY_CALL = sorted(find_calls(), key=str)
CALLS = [
    call
    for call in EVERY_CALL
    if call.template.startswith("/api/v1/") or not call.template.startswith("/api/")
]
"""Those of the two base paths. `/api/workflows` is a third way to the same viewsets: who is let in there, and what a list and a new row look like, is asked of
every call."""
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def each(calls: Any) -> Any:
    return pytest.mark.parametrize("call", [*calls], ids=str)


def once(calls: Any) -> Any:
    """What is decided by the code that all base paths lead to (`test_both_base_paths_serve_the_same_calls`). `make test` asks it for each call at one of
    them: every question begins with another, and what is asked in both of its runs is asked at the other one there."""
    if "CRAFT_TEST_SPLIT" not in os.environ:
        return each(calls)

    def mark(question: Callable[..., None]) -> Any:
        turn = crc32(question.__name__.encode()) + bool(settings.REDIS_URL)
        return each(in_turn(calls, turn))(question)

    return mark


def in_turn(calls: Iterable[Call], turn: int = 0) -> list[Call]:
    by_code: dict[Any, list[Call]] = {}
    for call in calls:
        route = call.template.removeprefix("/api").removeprefix("/v1")
        by_code.setdefault((route, call.method), []).append(call)
    return [
        alike[number % len(alike)]
        for number, alike in enumerate(by_code.values(), start=turn)
    ]


def closed(calls: list[Call]) -> list[Call]:
    return [call for call in calls if call.level != "public"]


def test_there_are_routes_at_every_base_path():
    assert len(CALLS) > 60
    for start in ("/api/v1/", "/v1/", "/api/workflows"):
        assert any(call.template.startswith(start) for call in EVERY_CALL)


def test_both_base_paths_serve_the_same_calls():
    """By the same code: what they differ in is the dialect of what is answered."""

    def served(base: str) -> set[Call]:
        return {
            replace(call, template=call.template.removeprefix(base))
            for call in EVERY_CALL
            if call.template.startswith(base)
        }

    assert served("/api/v1/") == served("/v1/")
    workflows = {
        call for call in served("/v1/") if call.template.startswith("workflows")
    }
    assert workflows == {
        call for call in served("/api/") if not call.template.startswith("v1/")
    }


# --- Asking ---


HANDLER = ForceAuthClientHandler(enforce_csrf_checks=False)
"""Django's test handler loads the middleware when it is first called; a server does so once, and these clients together."""


class Client(APIClient):
    company_id = 1
    signed_in: "Client | None" = None

    def generic_call(self, method: str, path: str, **extra: Any) -> Any:
        return getattr(self, method.lower())(path, **extra)


_addresses = count(1)


def caller(authorization: str | None = None) -> Client:
    """Each from an address of its own, so that nobody is turned away for another's calls."""
    client = Client(raise_request_exception=False)
    client.handler = HANDLER
    number = next(_addresses)
    client.defaults["REMOTE_ADDR"] = f"10.0.{number // 250 % 250}.{number % 250}"
    if authorization:
        client.credentials(HTTP_AUTHORIZATION=authorization)
    return client


@pytest.fixture
def by(standing: StandingCast) -> Callable[..., Client]:
    """`by(alice)` calls with a key of hers, or where no key is enough as `by(alice, "person")`: she herself, signed in. `by(alice, "read")` is a key
    that may read only."""

    def client(person: Person, *permissions: str) -> Client:
        if {"person", "owner"} & set(permissions):
            made = caller(f"Bearer {standing.tokens[person.user.pk]}")
        elif permissions:
            made = caller(f"Bearer {make_key(person, *permissions)}")
        else:
            made = caller(f"Bearer {standing.keys[person.user.pk]}")
            made.signed_in = client(person, "person")
            made.signed_in.defaults = made.defaults  # the address
        made.company_id = person.company.pk
        return made

    return client


def check_problem(call: Call, answer: Any, status: int) -> dict[str, Any]:
    """The one form of an error at this base path; its fields."""
    assert answer.status_code == status, answer.content[:500]
    assert answer["Content-Type"].startswith("application/json")
    body = answer.json()
    if call.dialect.name == "named":
        assert set(body) == {"error", "message", "code", "details", "request_id"}
        assert body["error"] is True
        fields = body
    else:
        assert set(body) == {"success", "error"}
        assert body["success"] is False
        fields = body["error"]
        assert set(fields) == {"code", "message", "details", "request_id"}
    assert fields["code"] == call.dialect.codes[status]
    assert fields["message"]
    assert fields["request_id"] == answer["X-Request-ID"]
    assert all(isinstance(value, str) for value in fields["details"].values())
    return fields


def check_headers(answer: Any) -> None:
    assert answer["X-Request-ID"].startswith("req_")
    limit, left = int(answer["X-RateLimit-Limit"]), int(answer["X-RateLimit-Remaining"])
    assert 0 <= left < limit
    assert int(answer["X-RateLimit-Reset"]) > 1_000_000_000


# --- Who may ---


@each(closed(EVERY_CALL))
def test_nobody_is_let_in_without_a_key(call, db):
    for authorization in (None, "Bearer nonsense", "Basic dTpw", "Bearer cv_live_x"):
        answer = call.send(caller(authorization))
        check_problem(call, answer, 401)
        assert answer["WWW-Authenticate"] == "Bearer"


@each(call for call in CALLS if call.level == "public")
def test_everybody_may_make_a_public_call(call, db):
    for authorization in (None, "Bearer nonsense"):
        answer = call.send(caller(authorization), pk=EVERYBODYS.get(call.basename, "x"))
        assert answer.status_code < 500
        if answer.status_code == 401:
            assert call.basename == "auth", "only a login can fail as one"


@once(closed(CALLS))
def test_a_key_needs_the_permission(call, by, alice):
    others = {"read", "write", "admin"} - {call.level}
    fields = check_problem(call, call.send(by(alice, *others)), 403)
    assert call.level in fields["message"]


@once(call for call in closed(CALLS) if call.level not in {"read", "person"})
def test_a_role_must_be_high_enough(call, by, bob, vera):
    check_problem(call, call.send(by(vera)), 403)
    if call.level in {"admin", "owner"}:
        check_problem(call, call.send(by(bob)), 403)


@once(closed(CALLS))
def test_who_may_is_let_in(call, by, alice, bob, vera):
    person = {"read": vera, "person": vera, "write": bob}.get(call.level, alice)
    answer = call.send(by(person, call.level), pk=call.own_id(alice))
    assert answer.status_code not in {401, 403, 405}, answer.content[:500]
    assert answer.status_code < 500 or answer.status_code in call.view.problems.get(
        call.action, ()
    )


# --- Whose ---


@once(call for call in closed(CALLS) if call.has_id)
def test_what_is_anothers_is_as_unknown_as_what_never_was(call, by, alice, charlie):
    if call.basename in EVERYBODYS:
        return
    theirs = call.own_id(charlie)
    client = by(alice)
    answer = call.send(client, pk=theirs)
    if answer.status_code in {400, 422}:
        pytest.fail(
            f"{call}: add a body that passes for {(call.basename, call.action)!r} to BODIES in tests/test_api_contract.py. It said: {answer.content[:300]!r}"
        )
    found = check_problem(call, answer, 404)
    never = check_problem(call, call.send(client), 404)
    assert {**found, "request_id": ""} == {**never, "request_id": ""}
    other = by(charlie)
    head, _, _ = call.path("{pk}", other).partition("{pk}")
    detail = head + theirs
    assert other.get(detail).status_code == 200


@each(call for call in CALLS if call.action == "list")
def test_a_list_holds_the_callers_own_rows_only(call, by, alice, charlie):
    if call.basename in EVERYBODYS or call.basename not in ROWS:
        return
    mine, theirs = ROWS[call.basename](alice), ROWS[call.basename](charlie)
    ids = {row["id"] for row in rows_of(call, call.send(by(alice)))}
    assert mine in ids
    assert theirs not in ids


@once(call for call in closed(CALLS) if "{company_id}" in call.template)
def test_nothing_is_below_another_company(call, by, alice, charlie):
    client = by(alice)
    mine, theirs = call.own_id(alice), call.own_id(charlie)
    for company_id in (charlie.company.pk, 10**9, *ODD_IDS):
        client.company_id = company_id
        for pk in (mine, theirs):
            check_problem(call, call.send(client, pk=pk), 404)


ODD_IDS = [
    "bad%00",
    "x" * 3_000,
    "%F0%9F%98%80",
    "%C3%BC",
    "..",
    "%2e%2e",
    "..%2F..%2Fetc",
    "a%2Fb",
    "%0a",
    "'%20OR%201=1--",
    "%25s",
    "{}",
    "-1",
    "99999999999999999999999999",
    "1e400",
    "null",
    "_",
]


@once(call for call in CALLS if call.has_id)
def test_a_text_that_is_no_id_is_not_found(call, by, alice):
    client = by(alice)
    for odd in ODD_IDS:
        check_problem(call, call.send(client, pk=odd), 404)


# --- What is sent ---


@once(call for call in CALLS if call.takes_json)
def test_a_body_that_is_no_json_is_refused(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    for body in (b"{", b"[1,]", b"\xff", b'{"a": NaN}', b"[" * 10_000):
        answer = call.send(client, pk=pk, data=body, content_type="application/json")
        check_problem(call, answer, 400)


@once(call for call in CALLS if call.takes_json)
def test_a_body_of_another_kind_is_refused(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    for kind in ("text/plain", "application/xml", "nonsense"):
        answer = call.send(client, pk=pk, data=b"<a/>", content_type=kind)
        check_problem(call, answer, 415)


@once(call for call in CALLS if call.takes_json)
def test_a_body_that_is_too_large_is_refused(call, by, alice, settings):
    client, pk = by(alice), call.own_id(alice)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    answer = call.send(client, pk=pk, data={"name": "x" * 1_000}, format="json")
    check_problem(call, answer, 413)


@each(call for call in CALLS if call.is_strict)
def test_an_unknown_field_is_named(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    body = {**call.body, "colour_of_hope": "green"}
    answer = call.send(client, pk=pk, data=body, format="json")
    fields = check_problem(call, answer, call.dialect.invalid_status)
    assert "colour_of_hope" in fields["details"]
    assert "Unknown field" in fields["details"]["colour_of_hope"]


@once(call for call in CALLS if call.is_strict)
def test_a_body_that_is_no_object_is_refused(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    for body in (b"[]", b'"text"', b"1", b"null", b"[{}]"):
        answer = call.send(client, pk=pk, data=body, content_type="application/json")
        check_problem(call, answer, call.dialect.invalid_status)


@once(call for call in CALLS if call.method == "GET")
def test_an_unknown_method_is_not_allowed(call, by, alice):
    known = {other.method for other in CALLS if other.template == call.template}
    client = by(alice, "person")
    for method in METHODS - known:
        answer = client.generic_call(method, call.path(client=client))
        check_problem(call, answer, 405)
        assert set(answer["Allow"].split(", ")) >= known


# --- What is answered ---


def rows_of(call: Call, answer: Any) -> list[dict[str, Any]]:
    """The rows of a list, in the one envelope of its base path."""
    assert answer.status_code == 200, answer.content[:500]
    body = answer.json()
    if call.dialect.name == "named":
        assert {"total", "limit", "offset", "has_more"} < set(body)
        (rows,) = (value for value in body.values() if isinstance(value, list))
        assert len(body) == 5
        meta = body
    else:
        assert set(body) == {"success", "data", "meta"}
        assert body["success"] is True
        rows, meta = body["data"], body["meta"]
        assert set(meta) == {
            "total",
            "limit",
            "page",
            "has_more",
            "cursor",
            "next_cursor",
        }
    assert meta["total"] == len(rows)
    assert meta["has_more"] is False
    return rows


def fill(call: Call, person: Person) -> tuple[str, Callable[[], Any]]:
    """The id to list below, if there is one, and a function that adds a row to the list."""
    if not call.has_id:
        if call.basename not in ROWS:
            pytest.fail(
                f"{call}: add a factory for {call.basename!r} to ROWS in tests/test_api_contract.py."
            )
        return "", lambda: ROWS[call.basename](person)
    if (call.basename, call.action) not in CHILDREN:
        pytest.fail(
            f"{call}: add a factory for {(call.basename, call.action)!r} to CHILDREN in tests/test_api_contract.py."
        )
    pk = call.own_id(person)
    return pk, lambda: CHILDREN[call.basename, call.action](person, pk)


@each(call for call in EVERY_CALL if call.is_list)
def test_a_list_is_in_its_envelope_and_costs_the_same_whatever_its_length(
    call, by, alice, monkeypatch
):
    for remembers in ("accounts.services.recognition.KEEP_SECONDS", "billing.services._KEEP_SECONDS"):  # fmt: skip
        monkeypatch.setattr(remembers, 600)  # not forgotten between the two looks
    pk, add = fill(call, alice)
    client = by(alice)
    add()
    call.send(client, pk=pk)  # what is noted once a minute is noted now
    with CaptureQueriesContext(connection) as few:
        before = rows_of(call, call.send(client, pk=pk))
    for _ in range(4):
        add()
    with CaptureQueriesContext(connection) as many:
        after = rows_of(call, call.send(client, pk=pk))
    assert len(before) >= 1
    assert len(after) == len(before) + 4
    assert all("id" in row for row in after)
    sentences = "\n".join(query["sql"] for query in many.captured_queries)
    assert len(few) == len(many), f"A query per row:\n{sentences}"


@each(call for call in CALLS if call.is_list)
def test_bad_paging_is_refused(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    odd = ["limit=0", "limit=101", "limit=x", "limit=", "limit=1e3", "nonsense=1"]
    if call.dialect.pages_by_number:
        odd += ["page=0", "page=x", "cursor=x", "page=1&cursor=x", "offset=0"]
    else:
        odd += ["offset=-1", "offset=x", "offset=9999999999", "page=1"]
    for query in odd:
        answer = client.get(f"{call.path(pk, client)}?{query}")
        fields = check_problem(call, answer, 400)
        assert query.partition("=")[0] in fields["details"]


@once(call for call in CALLS if call.is_list)
def test_no_parameter_crashes_a_list(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    for parameter in call.described["parameters"]:
        for value in ("%00", "%ff", "x" * 5_000, "%F0%9F%98%80", "", "[]", "9" * 400):
            answer = client.get(f"{call.path(pk, client)}?{parameter['name']}={value}")
            if answer.status_code != 200:
                check_problem(call, answer, 400)


@each(call for call in CALLS if call.action == "retrieve")
def test_one_is_in_its_envelope(call, by, alice):
    pk = call.own_id(alice)
    body = call.send(by(alice), pk=pk).json()
    if call.dialect.name == "named":
        ((name, data),) = body.items()
        assert name == call.view.serializer_class.Meta.resource
    else:
        assert set(body) == {"success", "data"}
        data = body["data"]
    assert str(data["id"]) == pk


@each(call for call in EVERY_CALL if call.action == "create")
def test_what_was_made_says_where_it_is(call, by, alice):
    if (call.basename, "create") not in BODIES:
        pytest.fail(
            f"{call}: add a body that passes for {(call.basename, 'create')!r} to BODIES in tests/test_api_contract.py."
        )
    client = by(alice)
    made = call.send(client)
    assert made.status_code == 201, made.content[:500]
    assert made["Location"].startswith(f"http://testserver{call.path(client=client)}/")
    found = client.get(made["Location"])
    assert found.status_code == 200
    assert made["Location"].endswith(str(body_of(call, found)["id"]))
    assert body_of(call, found)["id"] == body_of(call, made)["id"]


def body_of(call: Call, answer: Any) -> dict[str, Any]:
    (data,) = (value for value in answer.json().values() if isinstance(value, dict))
    return data


@each(call for call in CALLS if call.action == "destroy" and call.level != "owner")
def test_what_is_deleted_is_gone(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    answer = call.send(client, pk=pk)
    assert answer.status_code == 200, answer.content[:500]
    if call.dialect.name == "named":
        assert answer.json()["success"] is True
        assert answer.json()["message"].endswith(" deleted")
    else:
        assert answer.json() == {"success": True, "data": {"id": pk, "deleted": True}}
    check_problem(call, call.send(client, pk=pk), 404)


@once(CALLS)
def test_every_answer_carries_its_headers(call, by, alice):
    set_plan(company=alice.company, slug="automation-business")
    client, pk = by(alice), call.own_id(alice)
    answers = [
        call.send(client, pk=pk),
        call.send(client, pk="none_01"),
        call.send(caller()),
        client.generic_call(
            "PUT", call.path(pk, client), data="{", content_type="text/plain"
        ),
    ]
    for answer in answers:
        check_headers(answer)
    assert len({answer["X-Request-ID"] for answer in answers}) == len(answers)


@once(call for call in CALLS if call.method == "GET")
def test_a_head_is_a_get_without_its_body(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    got, head = client.get(call.path(pk, client)), client.head(call.path(pk, client))
    assert head.status_code == got.status_code
    assert b"".join(head) == b""


@once(call for call in CALLS if call.method == "GET")
def test_options_do_not_crash(call, by, alice):
    client = by(alice)
    answer = client.options(call.path(call.own_id(alice), client))
    assert answer.status_code == 200


# --- What is kept of it ---


@once(call for call in CALLS if call.method != "GET")
def test_a_change_leaves_one_entry_in_the_audit_log(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    extra = CHANGED.get((call.basename, call.action), lambda _: {})(alice)
    known = set(AuditEntry.unscoped.values_list("pk", flat=True))
    answer = call.send(client, pk=pk, **extra)
    left = AuditEntry.unscoped.exclude(pk__in=known).order_by("type")
    expected = TRACES.get((call.basename, call.action))
    if expected != []:
        assert answer.status_code < 400, (
            f"{call}: add a body that passes for {(call.basename, call.action)!r} to BODIES in tests/test_api_contract.py. It said: {answer.content[:300]!r}"
        )
    if expected is not None:
        assert [entry.type for entry in left] == expected
        return
    (entry,) = left
    assert entry.company_id == alice.company.pk
    assert entry.user_id == alice.user.pk
    assert entry.api_key_id.startswith("key_") or call.level == "person"
    assert entry.request_id == answer["X-Request-ID"]
    assert entry.address == client.defaults["REMOTE_ADDR"]
    assert entry.resource_id, f"{entry.type}: its data names no {entry.resource_type}"
    if pk and call.template.endswith("{pk}"):
        assert entry.resource_id == pk


@once(call for call in CALLS if call.method != "GET" and call.level != "public")
def test_what_is_refused_leaves_no_entry(call, by, alice):
    client = by(alice)
    path = call.path(client=client)
    known = AuditEntry.unscoped.count()
    answer = client.generic_call(
        call.method,
        path,
        data="{",
        content_type="application/json",
    )
    assert answer.status_code >= 400
    assert AuditEntry.unscoped.count() == known


@once(call for call in CALLS if call.method == "POST")
def test_a_post_with_a_key_acts_once(call, by, alice):
    client, pk = by(alice), call.own_id(alice)
    header = {"HTTP_IDEMPOTENCY_KEY": "once"}

    extra = CHANGED.get((call.basename, call.action), lambda _: {})(alice)
    sent = extra or {"data": call.body, "format": "json"}

    def send():
        for value in sent["data"].values():
            if hasattr(value, "seek"):
                value.seek(0)
        return call.send(client, pk=pk, **sent, **header)

    first = send()
    known = AuditEntry.unscoped.count()
    second = send()
    if second.status_code == 401 and (call.basename, call.action) in ENDS_ITS_CALLER:
        return
    assert AuditEntry.unscoped.count() == known
    if first.status_code < 400:
        assert second.content == first.content
        assert second.status_code == first.status_code
        assert second.get("Location") == first.get("Location")
        assert second["Idempotent-Replayed"] == "true"
    else:
        assert "Idempotent-Replayed" not in second
    check_problem(call, call.send(client, pk=pk, HTTP_IDEMPOTENCY_KEY="x" * 256), 400)


@each(call for call in CALLS if call.method == "POST")
def test_every_post_says_that_it_takes_a_key(call):
    names = {parameter["name"] for parameter in call.described["parameters"]}
    assert "Idempotency-Key" in names
