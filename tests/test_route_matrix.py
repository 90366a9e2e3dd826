"""Who may do what with whose: every route × every id that it takes (in its path, its query, its body) × every kind of caller.

A cell sends an id that is the caller's own, another company's, or nobody's. What is one's own is open to whom the table of roles lets in, and to nobody
else; what is another's is told apart from what never was by nothing, and stays as it is.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import pytest

from accounts.models import LEVELS, OWNER
from accounts.services.sandbox import sandbox_of
from tests.factories import Person, make_key, make_person, make_token
from tests.test_api_contract import (
    BODIES,
    CALLS,
    EVERYBODYS,
    ROWS,
    Call,
    Client,
    caller,
    document,
    once,
    workflow_with_tests,
)
from workflows.nodes import NODES

pytestmark = pytest.mark.usefixtures("standing_cast")

KEYS = {"read key": ["read"], "write key": ["read", "write"]}
ROLES = {
    "owner": LEVELS[OWNER],
    "admin": LEVELS["admin"],
    "member": LEVELS["member"],
    "viewer": LEVELS["viewer"],
}
STRANGERS = ["other company", "test key"]
"""To whom all that is Alice's is another's: also to the sandbox of her own company."""
CALLERS = ["anonymous", *STRANGERS, *KEYS, *reversed(ROLES)]
"""The mightiest last: what they may do may end what the others ask for."""
ANOTHERS, NOBODYS, OWN = "another's", "nobody's", "own"

# --- Where ids are ---

AN_ID = re.compile(r"(?:^|_)(?:ids?|sources?|error_workflow)$")
"""Names of fields and parameters that hold the id of something."""

REFERENCES: dict[tuple[str, str, str], str] = {
    ("account", "switch", "company_id"): "company",
    ("agent", "create", "data_sources"): "data-source",
    ("agent", "update", "data_sources"): "data-source",
    ("agent", "partial_update", "data_sources"): "data-source",
    ("agent", "execute", "data_sources"): "data-source",
    ("agent", "execute", "outlet_id"): "outlet",
    ("audit-entry", "list", "resource_id"): "agent",
    ("audit-entry", "export", "resource_id"): "agent",
    ("data-source", "query", "connection_id"): "data-source",
    ("company", "transfer_ownership", "user_id"): "member",
    ("approval", "list", "execution_id"): "execution",
    ("execution", "list", "workflow_id"): "workflow",
    ("workflow", "executions", "workflow_id"): "workflow",
    ("workflow", "create", "error_workflow"): "workflow",
    ("workflow", "update", "error_workflow"): "workflow",
    ("workflow", "partial_update", "error_workflow"): "workflow",
    ("workflow-test", "run", "test_ids"): "workflow-test",
}
"""For each id in a query or a body, whose basename it is: a factory of that name is in ROWS."""

NO_REFERENCES: dict[str, str] = {
    "node_id": "a node of the workflow at hand",
    "template_id": "comes with the product, and is everybody's",
}
"""Names that look like an id's and are none, each with what it is."""

FILLED: dict[tuple[str, str], dict[str, Any]] = {
    ("data-source", "query"): {"query": "SELECT 1 AS one"},
}
"""What else a body needs before its ids are looked at."""


@dataclass(frozen=True)
class Place:
    """Where in a call an id stands."""

    kind: str
    name: str
    basename: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


def places_of(call: Call) -> list[Place]:
    places = []
    if "{company_id}" in call.template:
        places.append(Place("path", "company_id", "company"))
    if call.has_id and call.basename not in EVERYBODYS:
        places.append(Place("path", "pk", call.basename))
    for kind, name in sorted({*query_ids(call), *body_ids(call)}):
        places.append(Place(kind, name, reference(call, name)))
    return places


def reference(call: Call, name: str) -> str:
    found = REFERENCES.get((call.basename, call.action, name))
    if found is None:
        raise LookupError(
            f"{call}: say in REFERENCES of tests/test_route_matrix.py what {name!r} is the id of, or in NO_REFERENCES why it is none."
        )
    return found


def query_ids(call: Call) -> Iterator[tuple[str, str]]:
    for parameter in call.described.get("parameters", []):
        if parameter["in"] == "query" and is_id(parameter["name"]):
            yield "query", parameter["name"]


def body_ids(call: Call) -> Iterator[tuple[str, str]]:
    base = "api_v1" if call.dialect.name == "named" else "v1"
    for content in call.described.get("requestBody", {}).get("content", {}).values():
        for path in properties(content["schema"], base, ()):
            if is_id(path[-1]):
                yield "body", ".".join(path)


def properties(
    schema: dict[str, Any], base: str, seen: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """The dotted paths of all fields, also of nested ones."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            component = document(base)["components"]["schemas"][name]
            yield from properties(component, base, (*seen, name))
        return
    for choice in ("oneOf", "anyOf", "allOf"):
        for one in schema.get(choice, []):
            yield from properties(one, base, seen)
    for name, field in schema.get("properties", {}).items():
        yield (name,)
        for below in properties(field, base, seen):
            yield (name, *below)
    if isinstance(schema.get("items"), dict):
        yield from properties(schema["items"], base, seen)


def is_id(name: str) -> bool:
    return bool(AN_ID.search(name)) and name not in NO_REFERENCES


# --- Who calls ---


class Cast:
    """One of each kind of caller, made when first asked for."""

    def __init__(self, alice: Person, charlie: Person) -> None:
        self.alice, self.charlie = alice, charlie
        self._clients: dict[str, Client] = {}
        self._rows: dict[tuple[str, int], str] = {}

    def client(self, kind: str) -> Client:
        if kind not in self._clients:
            self._clients[kind] = self._make(kind)
        return self._clients[kind]

    def row(self, basename: str, owner: Person, *, anew: bool = False) -> str:
        key = basename, owner.company.pk
        if anew or key not in self._rows:
            self._rows[key] = ROWS[basename](owner)
        return self._rows[key]

    def _make(self, kind: str) -> Client:
        company = self.alice.company
        if kind == "anonymous":
            made = caller()
        elif kind in KEYS:
            made = caller(f"Bearer {make_key(self.alice, *KEYS[kind])}")
        elif kind == "test key":
            made = caller(f"Bearer {make_key(self.alice, mode='test')}")
            company = sandbox_of(company)
        else:
            made = caller(f"Bearer {make_token(self._person(kind))}")
        made.company_id = company.pk
        return made

    def _person(self, kind: str) -> Person:
        if kind == "owner":
            return self.alice
        if kind == "other company":
            return self.charlie
        return make_person(company=self.alice.company, role=kind)


def levels_of(kind: str) -> frozenset[str]:
    if kind == "other company":
        return ROLES["owner"]
    if kind == "test key":
        return frozenset({"read", "write", "admin"})
    if kind in KEYS:
        return frozenset(KEYS[kind])
    return ROLES.get(kind, frozenset())


def sends(kind: str) -> list[str]:
    """Whose ids this caller sends. For the other company, all of Alice's are another's."""
    return [ANOTHERS] if kind in STRANGERS else [ANOTHERS, NOBODYS, OWN]


SHARED = {"company", "member", "api-key", "session", "invitation"}
"""What a sandbox has none of: it is the live company's people who work in it, with its keys, and under its id."""


def is_apart(kind: str, place: Place) -> bool:
    return kind != "test key" or place.basename not in SHARED


_nobody = count(1)


def make_id(call: Call, place: Place, whose: str, kind: str, cast: Cast) -> str:
    if whose == NOBODYS:
        known = "9" * 9 if place.basename == "company" else "none_"
        return f"{known}{next(_nobody)}"
    is_theirs = whose == ANOTHERS and kind not in STRANGERS
    owner = cast.charlie if is_theirs else cast.alice
    is_changed = whose == OWN and is_let_in(call, kind) and call.method != "GET"
    return cast.row(place.basename, owner, anew=is_changed)


def is_let_in(call: Call, kind: str) -> bool:
    return call.level == "public" or call.level in levels_of(kind)


# --- Asking ---


def ask(call: Call, place: Place, value: str, cast: Cast, kind: str) -> Any:
    """The call, with this id at this place, and everything else the caller's own."""
    client = cast.client(kind)
    company_id, pk, query, body = client.company_id, "", "", None
    if place.kind == "path" and place.name == "company_id":
        company_id = value
    if call.has_id:
        is_here = place.kind == "path" and place.name == "pk"
        pk = value if is_here else own_pk(call, kind, cast)
    if call.method != "GET":
        body = {**BODIES.get((call.basename, call.action), {})}
        body |= FILLED.get((call.basename, call.action), {})
    if place.kind == "query":
        query = f"?{place.name}={value}"
    if place.kind == "body":
        assert body is not None
        put(body, place.name, value)
    path = call.parted.replace("{company_id}", str(company_id)).replace("{pk}", pk)
    if "{workflow_id}" in path:
        path = path.replace("{workflow_id}", workflow_with_tests(client.company_id))
    extra = {} if body is None else {"data": body, "format": "json"}
    return client.generic_call(call.method, path + query, **extra)


def own_pk(call: Call, kind: str, cast: Cast) -> str:
    if call.basename in EVERYBODYS:
        return EVERYBODYS[call.basename]
    is_changed = is_let_in(call, kind) and call.method != "GET"
    return cast.row(call.basename, cast.alice, anew=is_changed)


def put(body: dict[str, Any], name: str, value: str) -> None:
    *way, last = name.split(".")
    for part in way:
        body = body.setdefault(part, {})
    body[last] = [value] if last.endswith("s") else value


def told(answer: Any, value: str) -> tuple[int, str]:
    """What the answer gives away, apart from what was sent and what differs each time."""
    text = re.sub(r"req_[0-9a-z]+", "REQUEST", text_of(answer))
    return answer.status_code, re.sub(rf"\b{re.escape(value)}\b", "ID", text)


def text_of(answer: Any) -> str:
    raw: bytes = answer.getvalue() if answer.streaming else answer.content
    return raw.decode()


PERSONAL = {"session"}
"""What is one person's and not the company's."""
COLLEAGUES = {"admin", "member", "viewer"}


def check(call: Call, place: Place, whose: str, kind: str, answer: Any) -> None:
    status = answer.status_code
    where = f"{kind}, {place} {whose}: {status} {text_of(answer)[:300]}"
    if call.level != "public" and kind == "anonymous":
        assert status == 401, where
    elif not is_let_in(call, kind):
        assert status in ({403, 404} if whose != OWN else {403}), where
    elif whose == OWN and place.basename in PERSONAL and kind in COLLEAGUES:
        assert status == 404, where
    elif whose == OWN:
        assert status not in {401, 403, 404}, where
        assert status < 500 or status in call.view.problems.get(call.action, ()), where
    elif kind == "test key" and call.view.is_live_only and call.method != "GET":
        assert status == 403, where
    elif place.kind == "path":
        assert status == 404, where
    elif place.kind == "body":
        assert status in {400, 404, 422}, where
    else:
        assert status in {200, 400, 404}, where
        if status == 200 and not answer.streaming:
            assert rows_in(answer) == [], where


def rows_in(answer: Any) -> list[Any]:
    (rows,) = (value for value in answer.json().values() if isinstance(value, list))
    return rows


# --- The matrix ---


@cache
def cells() -> list[tuple[Call, Place, str, str]]:
    return [
        (call, place, kind, whose)
        for call in CALLS
        for place in places_of(call)
        for kind in CALLERS
        for whose in sends(kind)
        if is_apart(kind, place)
    ]


def test_every_id_that_a_call_takes_is_known():
    missing = []
    for call in CALLS:
        try:
            places_of(call)
        except LookupError as error:
            missing.append(str(error))
    assert not missing, "\n".join(missing)


def test_no_reference_is_listed_in_vain():
    used = {
        (call.basename, call.action, name)
        for call in CALLS
        for _, name in (*query_ids(call), *body_ids(call))
    }
    assert set(REFERENCES) == used


def test_what_a_node_names_of_the_company_is_looked_up_when_it_is_saved():
    """`refers_to` does that, and its own tests ask about another company's ids."""
    for kind, node in NODES.items():
        fields = node.config_schema.get("properties", {})
        named = {name for name in fields if is_id(name)}
        assert named <= node.refers_to.keys(), kind


def test_the_matrix_has_this_many_cells(capsys):
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(cells()):,} cells: {len(CALLS)} calls, {len(CALLERS)} kinds of callers\n"
        )
    assert len(cells()) > 2_000


@once(CALLS)
def test_each_reaches_what_is_theirs_and_nothing_else(call, alice, charlie):
    cast = Cast(alice, charlie)
    for place in places_of(call):
        for kind in CALLERS:
            if not is_apart(kind, place):
                continue
            answers = {}
            for whose in sends(kind):
                value = make_id(call, place, whose, kind, cast)
                answer = ask(call, place, value, cast, kind)
                check(call, place, whose, kind, answer)
                answers[whose] = told(answer, value)
            if NOBODYS in answers:
                assert answers[ANOTHERS] == answers[NOBODYS], f"{kind}, {place}"
