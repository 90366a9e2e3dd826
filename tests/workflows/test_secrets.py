"""Credentials in workflows: named at save, used at run, and in nothing that is written down."""

import base64
import json
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from accounts.models import User
from craft.events import listening
from craft.exceptions import InvalidError
from integrations.clients import oauth2
from integrations.models import TYPES, Opened
from integrations.services.credentials import (
    create_credential,
    delete_credential,
    update_credential,
)
from tests.factories import PASSWORD, make_workflow
from workflows.engine import journal
from workflows.engine.executor import Job, Run, drive
from workflows.engine.graph import compile_graph
from workflows.engine.journal import CATALOGUE, secrets_of
from workflows.engine.secrets import STARS, Secrets
from workflows.models import Execution, Step
from workflows.nodes.base import Node, Output
from workflows.services import executions
from workflows.services.workflows import update_workflow

SHOWN = ["api_key", "bearer", "basic", "oauth2_client", "custom"]
SECRET = 'sëcret+/ "value" & more'


def keep(person, name="shop", type="bearer", **fields):
    return create_credential(
        company=person.company,
        user=person.user,
        name=name,
        type=type,
        fields=fields or {"value": SECRET},
    )


def node(identity="call", type="http", **config):
    url = {"url": "https://a.example"} if type == "http" else {}
    return {"id": identity, "type": type, "config": {**url, **config}}


def faults_of(person, *nodes):
    with pytest.raises(InvalidError) as caught:
        make_workflow(person, nodes=list(nodes), edges=[])
    return caught.value.details


def run(person, *nodes, **fields):
    workflow = make_workflow(person, nodes=list(nodes), edges=[], **fields)
    return start(person, workflow)


def start(person, workflow):
    execution = executions.start_execution(
        workflow=workflow,
        company=person.company,
        user=person.user,
        input={},
        trigger={"type": "api"},
    )
    while executions.run_due():
        pass
    execution.refresh_from_db()
    return execution


# --- At save ---


@pytest.mark.parametrize(
    ("config", "path", "sentence"),
    [
        ({"credential": "shopp"}, "credential", "Did you mean 'shop'?"),
        ({"credential": "cred_none"}, "credential", "There is no credential"),
        ({"credential": "mail"}, "credential", "of the type smtp"),
        ({"headers": {"A": "{{ secrets.shpo }}"}}, "headers.A", "Did you mean 'shop'?"),
        ({"headers": {"A": "{{ secrets.mail }}"}}, "headers.A", "password"),
        ({"headers": {"A": "{{ secrets.mail.pasword }}"}}, "headers.A", "Did you mean 'password'?"),
        ({"headers": {"A": "{{ secrets.shop.value }}"}}, "headers.A", "one value"),
        ({"headers": {"A": "{{ secrets.own.three }}"}}, "headers.A", "no field 'three'"),
    ],
)  # fmt: skip
def test_a_credential_that_can_not_be_used_is_a_fault_where_it_is_named(
    config, path, sentence, alice
):
    keep(alice)
    keep(alice, "mail", "smtp", host="mail.example.com", password=SECRET)
    keep(alice, "own", "custom", one=SECRET, two=SECRET)
    details = faults_of(alice, node(**config))
    assert details.keys() == {f"nodes.0.config.{path}"}
    assert sentence in details[f"nodes.0.config.{path}"]


def test_anothers_credential_is_as_unknown_as_one_that_never_was(alice, charlie):
    theirs = keep(charlie)
    for word in (theirs.name, theirs.pk):
        (sentence,) = faults_of(alice, node(credential=word)).values()
        assert sentence == f"There is no credential '{word}'."


def test_a_pipelines_faults_stand_at_its_steps(alice):
    config = {"url": "https://a.example", "credential": "none"}
    with pytest.raises(InvalidError) as caught:
        make_workflow(alice, steps=[{"type": "http", "config": config}])
    assert caught.value.details.keys() == {"steps.0.config.credential"}


def test_a_change_of_the_graph_is_asked_too_and_any_other_is_not(alice):
    credential = keep(alice)
    workflow = make_workflow(alice, nodes=[node(credential="shop")], edges=[])
    delete_credential(credential, force=True)
    update_workflow(workflow, user=alice.user, name="Renamed")
    with pytest.raises(InvalidError):
        update_workflow(workflow, user=alice.user, variables={"a": 1})


def test_saving_costs_two_queries_more_whatever_is_named(alice):
    keep(alice)
    plain = [node(f"n{n}", headers={"A": "b"}) for n in range(6)]
    named = [node(f"n{n}", credential="shop") for n in range(6)]
    with CaptureQueriesContext(connection) as few:
        make_workflow(alice, nodes=plain, edges=[])
    with CaptureQueriesContext(connection) as many:
        make_workflow(alice, nodes=named, edges=[])
    assert len(many) == len(few) + 1


@pytest.mark.parametrize("place", ["run_if", "cache"])
def test_a_secret_decides_nothing(place, alice):
    keep(alice)
    said = "{{ secrets.shop }}"
    value = {"ttl_seconds": 5, "key": said} if place == "cache" else said
    (path,) = faults_of(alice, {**node(), place: value})
    assert path.startswith(f"nodes.0.{place}")


# --- At run ---


@pytest.fixture
def mirror(httpserver: HTTPServer, settings) -> HTTPServer:
    """Answers with all that it was sent, in several spellings; below /broken as a failure."""
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    oauth2.forget()

    def answer(request: Request) -> Response:
        said = {
            "headers": dict(request.headers.items()),
            "url": request.url,
            "args": request.args.to_dict(),
            "raw": request.query_string.decode(),
            SECRET: [request.get_data(as_text=True), quote(SECRET)],
        }
        status = 400 if request.path == "/broken" else 200
        return Response(json.dumps(said), status, mimetype="application/json")

    for path in ("/x", "/broken"):
        httpserver.expect_request(path).respond_with_handler(answer)
    httpserver.expect_request("/token").respond_with_json({"access_token": "a-fresh-token"})  # fmt: skip
    return httpserver


def fields_of(type, mirror):
    return {
        "api_key": {"value": SECRET, "query": "key"},
        "bearer": {"value": "plain-enough-for-a-header"},
        "basic": {"username": "ada", "password": SECRET},
        "oauth2_client": {
            "token_url": mirror.url_for("/token"),
            "client_id": "craft",
            "client_secret": SECRET,
        },
        "custom": {"X-One": "one-secret-header", "X-Two": "another-secret-header"},
    }[type]


def spellings(text):
    yield text
    yield quote(text, safe="")
    yield json.dumps(text)[1:-1]
    yield base64.b64encode(text.encode()).decode()


def graph_of(person, mirror):
    """For each type a call that is answered, a call that fails, and at the end all of their outputs again."""
    nodes, edges = [], []
    for type in SHOWN:
        keep(person, type, type, **fields_of(type, mirror))
        good = node(f"good_{type}", url=mirror.url_for("/x"), credential=type)
        bad = node(f"bad_{type}", url=mirror.url_for("/broken"), credential=type)
        nodes += [
            {**good, "cache": {"ttl_seconds": 60}},
            {**bad, "on_error": "continue"},
        ]
        edges += [
            {"source": good["id"], "target": bad["id"]},
            {"source": bad["id"], "target": "all"},
        ]
    nodes.append(node("all", "transform", set={"all": "{{ nodes }}"}))
    return {"nodes": nodes, "edges": edges}


def hidden_from_all(mirror):
    texts = {"a-fresh-token", f"ada:{SECRET}"}
    for type in SHOWN:
        given = fields_of(type, mirror).items()
        texts |= {value for name, value in given if TYPES[type].is_secret(name)}
    return texts


def test_nothing_that_is_written_down_shows_a_secret(alice, api, mirror, caplog):
    workflow = make_workflow(alice, **graph_of(alice, mirror))
    caplog.set_level("DEBUG")
    with listening() as heard:
        first, second = start(alice, workflow), start(alice, workflow)
    assert first.status == second.status == "completed", first.error
    asked = [request.path for request, _ in mirror.log]
    assert asked.count("/x") == len(SHOWN), "the second time it is remembered"
    client, console = api(alice), Client()
    console.force_login(User.objects.create_superuser("o@example.com", PASSWORD))
    rows = [
        *Execution.unscoped.values_list("output", "error", "logs", "last_error"),
        *Step.objects.values_list("input", "output", "error"),
        [event.data for event in heard],
    ]
    texts = [json.dumps(rows, default=str, ensure_ascii=is_plain) for is_plain in (True, False)]  # fmt: skip
    shown = [f"executions/{first.pk}", f"executions/{second.pk}", f"workflows/{workflow.pk}", "executions", "account/audit-log"]  # fmt: skip
    texts += [client.get(f"/v1/{path}").content.decode() for path in shown]
    for row in (first, second, workflow):
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
        texts.append(console.get(reverse(name, args=[row.pk])).content.decode())
    ours = [record for record in caplog.records if record.name != "werkzeug"]
    texts.append("\n".join(record.getMessage() for record in ours))
    spelled = {each for text in hidden_from_all(mirror) for each in spellings(text)}
    for text in texts:
        assert [each for each in spelled if each in text] == []
    assert json.dumps(first.output).count(STARS) > 2 * len(SHOWN)


def test_no_half_of_a_secret_is_left_where_an_error_is_cut(alice, mirror):
    secret = "".join(f"<{number}>" for number in range(60))
    keep(alice, value=secret)
    mirror.expect_request("/long").respond_with_data("x" * 290 + secret, status=400)
    used = node(url=mirror.url_for("/long"), credential="shop")
    execution = run(alice, used)
    assert execution.error["message"].endswith(f"x{STARS}")
    assert "<0>" not in json.dumps([execution.error, execution.logs])


@pytest.mark.parametrize("type", SHOWN)
def test_what_is_hidden_was_sent(type, alice, mirror):
    fields = fields_of(type, mirror)
    keep(alice, type=type, **fields)
    run(alice, node(url=mirror.url_for("/x"), credential="shop"))
    request = next(request for request, _ in mirror.log if request.path == "/x")
    sent = {
        "api_key": lambda: request.args["key"] == SECRET,
        "bearer": lambda: request.authorization.token == fields["value"],
        "basic": lambda: request.authorization.password == SECRET,
        "oauth2_client": lambda: request.authorization.token == "a-fresh-token",
        "custom": lambda: request.headers["X-Two"] == "another-secret-header",
    }
    assert sent[type]()


def test_an_expression_finds_the_value_or_its_fields(alice, mirror):
    keep(alice, "Slack Bot Token", "api_key", value="one-value")
    keep(alice, "db", "basic", username="ada", password="several-values")
    headers = {
        "X-One": "Bearer {{ secrets['Slack Bot Token'] }}",
        "X-Two": "{{ secrets.db.username }}:{{ secrets.db.password }}",
    }
    execution = run(alice, node(url=mirror.url_for("/x"), headers=headers))
    assert execution.status == "completed", execution.error
    ((request, _),) = mirror.log
    assert request.headers["X-One"] == "Bearer one-value"
    assert request.headers["X-Two"] == "ada:several-values"
    assert execution.output["body"]["headers"]["X-Two"] == STARS


def test_a_pure_node_uses_one_without_leaving_the_thread(alice):
    keep(alice, "signing_key", "api_key", value="key")
    sign = {"operation": "hmac", "value": "text", "secret": "{{ secrets.signing_key }}"}
    execution = run(alice, node("sign", "crypto", **sign))
    assert execution.status == "completed", execution.error


def test_a_rotation_holds_for_the_next_execution(alice, mirror):
    credential = keep(alice, value="the-first-secret")
    workflow = make_workflow(
        alice, nodes=[node(url=mirror.url_for("/x"), credential="shop")], edges=[]
    )
    start(alice, workflow)
    update_credential(credential, value="the-second-secret")
    start(alice, workflow)
    sent = [request.authorization.token for request, _ in mirror.log]
    assert sent == ["the-first-secret", "the-second-secret"]


def test_one_that_has_gone_fails_its_node_and_says_so(alice, mirror):
    credential = keep(alice)
    used = node(url=mirror.url_for("/x"), credential="shop")
    workflow = make_workflow(alice, nodes=[used], edges=[])
    delete_credential(credential, force=True)
    execution = start(alice, workflow)
    assert execution.error == {
        "code": "credential_missing",
        "message": "There is no credential 'shop'.",
        "node_id": "call",
    }
    assert mirror.log == []


def test_another_companys_of_the_same_name_is_never_used(alice, charlie, mirror):
    keep(charlie, value="what-charlie-has")
    credential = keep(alice, value="what-alice-has")
    used = node(url=mirror.url_for("/x"), credential="shop")
    workflow = make_workflow(alice, nodes=[used], edges=[])
    credential.delete()
    assert start(alice, workflow).error["code"] == "credential_missing"


def test_a_graph_that_names_none_costs_no_query(alice):
    execution = run(alice, node("first", "input"))
    assert execution.version.number == 1
    with CaptureQueriesContext(connection) as asked:
        secrets_of(execution, journal.graph_of(execution.version))
    assert len(asked) == 0


# --- By itself ---


class Breaking(Node):
    type = "http"
    family = "integrations"
    summary = "Breaks, and shows all that it knows."
    config_schema = {
        "type": "object",
        "properties": {"headers": {"type": "object", "x-secret": True}},
        "additionalProperties": False,
    }

    async def run(self, call):
        call.log(f"has {call.config}", config=call.config)
        if "output" in call.config["headers"]:
            return Output(call.config)
        raise RuntimeError(f"broke on {call.config}")


def opened(**fields):
    return {"shop": Opened("cred_1", "shop", "custom", fields)}


def run_breaking(headers, secrets):
    graph = compile_graph(
        {"nodes": [{"id": "n", "type": "http", "config": {"headers": headers}}]},
        {**CATALOGUE, "http": Breaking()},
    )
    job = Job("exec_1", 1, 1, {}, {}, {}, {"id": "wf_1"}, secrets=Secrets(secrets))
    run = Run(job, graph, [], None, can_sleep=False)
    return run, drive(run.execute())


def test_a_node_that_breaks_tells_the_operators_log_no_secret(caplog):
    headers = {"A": "{{ secrets.shop.one }}"}
    run, ending = run_breaking(headers, opened(one="a-value-to-hide"))
    assert ending.error["code"] == "internal_error"
    assert f"broke on {{'headers': {{'A': '{STARS}'}}}}" in caplog.text
    assert "a-value-to-hide" not in caplog.text + json.dumps(run.logs)
    assert all(record.exc_info is None for record in caplog.records)
    assert "a-value-to-hide" not in repr(run.job)


def test_an_output_is_kept_without_it():
    headers = {"output": "{{ secrets.shop.one }}", "short": "{{ secrets.shop.two }}"}
    _, ending = run_breaking(headers, opened(one="a-value-to-hide", two="ab"))
    assert ending.output == {"headers": {"output": STARS, "short": "ab"}}


def test_the_longer_of_two_secrets_goes_first():
    secrets = Secrets(opened(one="secret", two="secret-and-more"))
    assert secrets.redact("a secret-and-more b secret c") == f"a {STARS} b {STARS} c"
    value = {"k": ["secret", {"secret": 1}], "n": 5}
    assert secrets.redact(value) == {"k": [STARS, {STARS: 1}], "n": 5}
    assert Secrets().redact(value) is value
