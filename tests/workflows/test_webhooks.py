"""Workflows that are started from outside: who may, what is kept of the call, what is answered, and that a repetition starts nothing."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEntry
from accounts.services.sandbox import sandbox_of
from tests.factories import make_key, make_workflow
from workflows.models import Execution, TriggerSecret
from workflows.serializers.bodies import read_body
from workflows.services.executions import run_due
from workflows.services.signatures import key_of
from workflows.services.trigger_secrets import change_secret
from workflows.services.workflows import update_workflow
from workflows.views.triggers import as_told

DOUBLE = {
    "nodes": [
        {"id": "start", "type": "input", "config": {}},
        {"id": "end", "type": "transform", "config": {"expression": "{{ {'got': input} }}"}},
    ],
    "edges": [{"source": "start", "target": "end"}],
}  # fmt: skip


def respond(**config):
    return {"nodes": [{"id": "end", "type": "respond", "config": config}], "edges": []}


def webhook(**options):
    return {"type": "webhook", **options}


@pytest.fixture
def stranger():
    """Who has no key."""
    return APIClient(raise_request_exception=False)


@pytest.fixture
def alices(alice):
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(alice)}")
    return client


def path(workflow, base="/v1"):
    return f"{base}/workflows/{workflow.pk}/trigger"


def send(client, workflow, body=b'{"n": 1}', base="/v1", method="POST", kind="application/json", **headers):  # fmt: skip
    meta = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}  # fmt: skip
    return client.generic(method, path(workflow, base), body, content_type=kind, **meta)


def signed(secret, body=b'{"n": 1}', identifier="msg_1", at=None):
    sent_at = str(int(time.time() if at is None else at))
    content = f"{identifier}.{sent_at}.".encode() + body
    digest = hmac.new(key_of(secret), content, hashlib.sha256).digest()
    return {
        "webhook-id": identifier,
        "webhook-timestamp": sent_at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def with_secret(person, secret="", **options):
    workflow = make_workflow(person, **DOUBLE, trigger=webhook(**options))
    return workflow, change_secret(workflow, user=person.user, secret=secret)[1]


def last():
    return Execution.unscoped.latest("pk")


# --- Who may ---


def test_open_to_all_anybody_starts_it(alice, stranger):
    workflow = make_workflow(alice, **DOUBLE, trigger=webhook(auth="open"))
    answer = send(stranger, workflow)
    assert answer.status_code == 202
    assert answer["X-Execution-ID"] == answer.json()["data"]["execution_id"]
    execution = last()
    assert (execution.input, execution.created_by) == ({"n": 1}, None)
    run_due()
    execution.refresh_from_db()
    assert execution.output == {"got": {"n": 1}}


def test_that_it_is_open_stands_in_the_audit_log(alice, alices):
    workflow = make_workflow(alice, **DOUBLE, trigger="webhook")
    body = {"trigger": {"type": "webhook", "auth": "open"}}
    assert alices.patch(f"/v1/workflows/{workflow.pk}", body, format="json").status_code == 200  # fmt: skip
    entry = AuditEntry.objects.for_company(alice.company).latest("pk")
    assert json.loads(entry.details)["changes"]["trigger"] == [
        "webhook",
        body["trigger"],
    ]


def test_a_token_in_the_header_opens_it(alice, stranger):
    workflow, secret = with_secret(alice, auth="secret", header="X-Gitlab-Token")
    assert send(stranger, workflow, **{"X-Gitlab-Token": secret}).status_code == 202
    assert "x-gitlab-token" not in last().trigger["headers"]
    assert send(stranger, workflow, **{"X-Gitlab-Token": "wrong"}).status_code == 401
    assert send(stranger, workflow, **{"X-Webhook-Secret": secret}).status_code == 401


def test_a_standard_signature_opens_it_once_for_each_message(alice, stranger):
    workflow, secret = with_secret(alice, auth="signature")
    assert secret.startswith("whsec_")
    first, again = (send(stranger, workflow, **signed(secret)) for _ in range(2))
    assert first.status_code == 202
    assert first["X-Execution-ID"] == again["X-Execution-ID"]
    assert send(stranger, workflow, **signed(secret, identifier="msg_2")).status_code == 202  # fmt: skip
    assert Execution.unscoped.count() == 2
    late = signed(secret, identifier="msg_3", at=time.time() - 301)
    assert send(stranger, workflow, **late).status_code == 401
    other = signed(secret, b'{"n": 2}', "msg_4")
    assert send(stranger, workflow, **other).status_code == 401


def test_github_and_stripe_open_it_by_their_own_signatures(alice, stranger):
    body = b'{"id": "evt_1", "n":  1}'
    workflow, secret = with_secret(alice, "my github secret", preset="github")
    mac = hmac.new(secret.encode(), body, "sha256").hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={mac}", "X-GitHub-Delivery": "d1"}
    answers = [send(stranger, workflow, body, **headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0]["X-Execution-ID"] == answers[1]["X-Execution-ID"]
    told = last().trigger
    assert told["headers"]["x-github-delivery"] == "d1"
    assert "x-hub-signature-256" not in told["headers"]
    assert told["body"] == body.decode()

    workflow, secret = with_secret(alice, "whsec_of_stripe_itself", preset="stripe")
    at = int(time.time())
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()
    headers = {"Stripe-Signature": f"t={at},v1={mac}"}
    answers = [send(stranger, workflow, body, **headers) for _ in range(2)]
    assert answers[0]["X-Execution-ID"] == answers[1]["X-Execution-ID"]
    assert workflow.executions.count() == 1


def test_without_a_secret_nobody_is_let_in(alice, stranger):
    for options in ({"auth": "secret"}, {"auth": "signature"}, {"preset": "github"}, {"preset": "stripe"}):  # fmt: skip
        workflow = make_workflow(alice, **DOUBLE, trigger=webhook(**options))
        empty = hmac.new(b"", b'{"n": 1}', "sha256").hexdigest()
        headers = {"X-Webhook-Secret": "", "X-Hub-Signature-256": f"sha256={empty}"}
        assert send(stranger, workflow, **headers, **signed("")).status_code == 401
        assert send(stranger, workflow, **headers, **signed("whsec_")).status_code == 401  # fmt: skip
    assert not Execution.unscoped.exists()


def test_nobody_learns_what_there_is(alice, stranger):
    """What is not there, what wants a key, what rests as a draft, and a wrong proof: one answer, but for its own id."""
    closed = [
        make_workflow(alice, **DOUBLE, trigger=trigger, status=status)
        for trigger in ("api", "webhook", "cron", webhook(auth="key"))
        for status in ("draft", "published")
    ]
    closed.append(make_workflow(alice, **DOUBLE, trigger=webhook(auth="open"), status="draft"))  # fmt: skip
    closed += [with_secret(alice, **options)[0] for options in ({"auth": "secret"}, {"auth": "signature"}, {"preset": "github"})]  # fmt: skip
    paths = [f"/v1/workflows/{workflow.pk}/trigger" for workflow in closed]
    paths += ["/v1/workflows/wf_01m81qzmkne8pakes4zkchaavg/trigger", "/v1/workflows/none/trigger"]  # fmt: skip
    proof = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in signed("whsec_wrong").items()}  # fmt: skip
    shown = [
        {},
        proof,
        {"HTTP_X_WEBHOOK_SECRET": "wrong"},
        {"HTTP_AUTHORIZATION": "Basic dTpw"},
    ]
    varying = {"X-Request-ID", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    for method, proofs in (("post", shown), ("get", shown[:1])):
        for headers in proofs:
            said = set()
            for one in paths:
                answer = getattr(stranger, method)(
                    one, {"n": 1}, format="json", **headers
                )
                body = answer.json()
                body["error"].pop("request_id")
                told = {k: v for k, v in answer.items() if k not in varying}
                said.add(json.dumps([answer.status_code, told, body]))
            assert len(said) == 1, "\n".join(said)
            assert said.pop().startswith("[401")
    assert not Execution.unscoped.exists()


def test_strangers_count_by_their_address(alice, stranger, settings):
    settings.API_PUBLIC_PER_MINUTE = 5
    workflow = make_workflow(alice, **DOUBLE, trigger=webhook(auth="open"))
    stranger.defaults["REMOTE_ADDR"] = "203.0.113.77"
    answers = [send(stranger, workflow).status_code for _ in range(7)]
    assert answers == [202] * 5 + [429] * 2


def test_a_key_starts_it_whatever_strangers_need(alice, bob, vera, charlie, alices):
    for options in ({"auth": "open"}, {"auth": "signature"}, {"auth": "secret"}):
        workflow = make_workflow(alice, **DOUBLE, trigger=webhook(**options))
        assert send(alices, workflow).status_code == 202
        assert last().created_by == alice.user
        for person, status in ((vera, 403), (charlie, 404)):
            client = APIClient(raise_request_exception=False)
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(person)}")
            assert send(client, workflow).status_code == status


def test_a_browser_that_is_signed_in_is_a_stranger_unless_it_shows_its_csrf_token(
    alice,
):
    browser = APIClient(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(alice.user)
    opened = make_workflow(alice, **DOUBLE, trigger=webhook(auth="open"))
    assert send(browser, opened).status_code == 202
    assert last().created_by is None
    closed = make_workflow(alice, **DOUBLE, trigger="webhook")
    assert send(browser, closed).status_code == 401


def test_in_the_sandbox_strangers_start_what_is_in_the_sandbox(alice, stranger):
    sandbox = sandbox_of(alice.company)
    graph = {"nodes": [{"id": "call", "type": "http", "config": {"url": "https://example.com/"}}], "edges": []}  # fmt: skip
    workflow = make_workflow(alice, **graph, trigger=webhook(auth="open", answer="last"))  # fmt: skip
    type(workflow).unscoped.filter(pk=workflow.pk).update(company=sandbox)
    answer = send(stranger, workflow)
    assert answer["X-Craft-Mode"] == "test"
    assert answer.status_code == 500
    assert last().error["code"] == "test_mode"


# --- The secret ---


def test_a_secret_is_shown_once_and_the_one_before_works_on_for_a_while(
    alice, alices, stranger
):
    workflow = make_workflow(alice, **DOUBLE, trigger=webhook(auth="secret"))
    where = f"/v1/workflows/{workflow.pk}/trigger-secret"
    assert alices.get(where).status_code == 404
    first = alices.post(where, {}, format="json").json()["data"]
    second = alices.post(where, {"overlap_seconds": 60}, format="json").json()["data"]
    shown = alices.get(where).json()["data"]
    assert second["secret"].endswith(shown["hint"])
    assert shown["previous_expires_at"] == second["previous_expires_at"]
    for text in (first["secret"], second["secret"]):
        assert text not in json.dumps(shown)
        assert not TriggerSecret.objects.filter(sealed__contains=text[6:]).exists()
        assert text not in json.dumps(list(AuditEntry.objects.for_company(alice.company).values("details")))  # fmt: skip
        assert send(stranger, workflow, **{"X-Webhook-Secret": text}).status_code == 202
    row = TriggerSecret.objects.get()
    row.previous_expires_at -= timedelta(seconds=61)
    row.save()
    assert send(stranger, workflow, **{"X-Webhook-Secret": first["secret"]}).status_code == 401  # fmt: skip
    assert alices.delete(where).status_code == 200
    assert send(stranger, workflow, **{"X-Webhook-Secret": second["secret"]}).status_code == 401  # fmt: skip
    kinds = list(AuditEntry.objects.for_company(alice.company).order_by("pk").values_list("type", flat=True))  # fmt: skip
    assert kinds[-3:] == ["workflow.trigger_secret_changed"] * 2 + ["workflow.trigger_secret_deleted"]  # fmt: skip


@pytest.mark.parametrize("secret", ["short", "", "x" * 201, "with a\nnew line here", 7])
def test_a_secret_that_is_none_is_refused(alice, alices, secret):
    workflow = make_workflow(alice, **DOUBLE)
    where = f"/v1/workflows/{workflow.pk}/trigger-secret"
    answer = alices.post(where, {"secret": secret}, format="json")
    assert answer.status_code == 400
    assert "secret" in answer.json()["error"]["details"]


# --- What is kept ---


@pytest.mark.parametrize("way", ["short", "long"])
def test_the_call_is_kept_without_what_proves_its_sender(alice, alices, settings, way):
    if way == "long":
        settings.CRAFT_LIGHT_CALLS = []
    graph = {"nodes": [{"id": "end", "type": "transform", "config": {"expression": "{{ [trigger.method, trigger.headers['x-kind'], trigger.body, trigger.input.n] }}"}}], "edges": []}  # fmt: skip
    workflow = make_workflow(alice, **graph, trigger="webhook")
    send(alices, workflow, b'{ "n":1 }', **{"X-Kind": "a", "Cookie": "b=c"})
    told = last().trigger
    assert set(told) == {"type", "method", "headers", "query", "body"}
    assert not {"authorization", "cookie"} & set(told["headers"])
    assert (told["query"], told["body"]) == ({}, '{ "n":1 }')
    run_due()
    assert last().output == ["POST", "a", '{ "n":1 }', 1]


def test_methods_and_queries(alice, stranger):
    workflow = make_workflow(
        alice, **DOUBLE, trigger=webhook(auth="open", methods=["GET", "PUT"])
    )
    where = path(workflow) + "?a=1&b=2&b=3&c=%00"
    assert stranger.get(where).status_code == 202
    told = last().trigger
    assert told["method"] == "GET"
    assert told["query"] == {"a": "1", "b": ["2", "3"], "c": "\ufffd"}
    assert stranger.put(where, {"n": 1}, format="json").status_code == 202
    for method in ("post", "delete", "patch"):
        answer = getattr(stranger, method)(where)
        assert answer.status_code == 405
        assert answer["Allow"] == "GET, PUT, OPTIONS"
    assert Execution.unscoped.count() == 2


BOUNDARY = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name="f"; filename="../f.bin"\r\nContent-Type: image/png\r\n\r\n\x00\xff\r\n--x--\r\n'
KINDS = [
    ("application/json; charset=utf-8", b'{"a": 1}', {"a": 1}),
    ("application/vnd.api+json", b"[1]", [1]),
    ("", b"{}", {}),
    ("application/x-www-form-urlencoded", b"a=1&b=2&b=%C3%BC&c=", {"a": "1", "b": ["2", "ü"], "c": ""}),
    ("text/plain", "zwölf".encode(), "zwölf"),
    ("text/csv; charset=latin-1", "zwölf".encode("latin-1"), "zwölf"),
    ("application/soap+xml", b"<a/>", "<a/>"),
    ("text/plain", b"\xff", {"content_type": "text/plain", "base64": "/w=="}),
    ("text/plain; charset=nonsense", b"a", {"content_type": "text/plain", "base64": "YQ=="}),
    ("application/octet-stream", b"\x00\x01", {"content_type": "application/octet-stream", "base64": "AAE="}),
    ("multipart/form-data; boundary=x", BOUNDARY, {"a": "1", "f": {"filename": "f.bin", "size": 2, "content_type": "image/png", "base64": "AP8="}}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "raw", "expected"), KINDS)
def test_bodies_of_every_kind_become_json(kind, raw, expected):
    assert read_body(raw, kind) == expected


def test_a_webhook_takes_them_and_other_workflows_do_not(alice, alices):
    body = b"a=1&b=2"
    kind = "application/x-www-form-urlencoded"
    workflow = make_workflow(alice, **DOUBLE, trigger="webhook")
    headers = {"Idempotency-Key": "form-1"}
    answers = [send(alices, workflow, body, kind=kind, **headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert (last().input, last().trigger["body"]) == ({"a": "1", "b": "2"}, "a=1&b=2")
    assert Execution.unscoped.count() == 1
    broken = send(alices, workflow, b"--", kind="multipart/form-data; boundary=x")
    assert broken.status_code in {202, 400}
    other = make_workflow(alice, **DOUBLE, trigger="api")
    assert send(alices, other, body, kind=kind).status_code == 415


def test_an_empty_form_and_no_body_at_all(alice, alices):
    workflow = make_workflow(alice, **DOUBLE, trigger="webhook")
    for kind in ("application/x-www-form-urlencoded", "text/plain", "image/png", ""):
        assert send(alices, workflow, b"", kind=kind).status_code == 202
        assert last().input == {}


# --- What is answered ---


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
def test_the_output_is_the_answer(alice, stranger, base):
    workflow = make_workflow(alice, **DOUBLE, trigger=webhook(auth="open", answer="last"))  # fmt: skip
    answer = send(stranger, workflow, base=base)
    output = {"got": {"n": 1}}
    assert answer.status_code == 200
    assert answer.json() == ({"success": True, "data": output} if base == "/v1" else output)  # fmt: skip
    assert answer["X-Execution-ID"] == last().pk


def test_when_the_time_runs_out_the_execution_goes_on(alice, stranger):
    graph = {"nodes": [{"id": "wait", "type": "delay", "config": {"seconds": 3600}}], "edges": []}  # fmt: skip
    trigger = webhook(auth="open", answer="last", timeout_seconds=0.1)
    answer = send(stranger, make_workflow(alice, **graph, trigger=trigger))
    assert answer.status_code == 202
    assert answer.json()["data"]["execution_id"] == last().pk
    assert last().status == "waiting"


@pytest.mark.parametrize("mode", ["last", "respond"])
def test_a_failure_is_told_without_its_reason(alice, stranger, mode):
    graph = {"nodes": [{"id": "end", "type": "stop", "config": {"status": "failed", "message": "the password is 1234"}}], "edges": []}  # fmt: skip
    try:
        workflow = make_workflow(alice, **graph, trigger=webhook(auth="open", answer=mode))  # fmt: skip
    except Exception as error:  # says what the node takes
        pytest.fail(str(error))
    answer = send(stranger, workflow)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "EXECUTION_FAILED"
    assert last().pk in answer.json()["error"]["message"]
    assert b"1234" not in answer.content


def test_the_respond_node_says_what_is_answered(alice, stranger):
    graph = respond(
        status=201,
        headers={"Location": "/orders/{{ input.n }}", "X-Own": "yes"},
        body={"created": "{{ input.n }}"},
    )
    workflow = make_workflow(alice, **graph, trigger=webhook(auth="open", answer="respond"))  # fmt: skip
    answer = send(stranger, workflow)
    assert (answer.status_code, answer.json()) == (201, {"created": 1})
    assert (answer["Location"], answer["X-Own"]) == ("/orders/1", "yes")
    assert answer["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/plain"]
)
def test_nothing_that_a_workflow_answers_runs_in_our_name(alice, stranger, kind):
    graph = respond(headers={"content-type": kind}, body="<script>alert(1)</script>")
    workflow = make_workflow(alice, **graph, trigger=webhook(auth="open", answer="respond"))  # fmt: skip
    answer = send(stranger, workflow)
    assert answer.content == b"<script>alert(1)</script>"
    assert answer["Content-Type"] == kind
    assert answer["Content-Security-Policy"] == "sandbox"
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    ["Set-Cookie", "content-security-policy", "Transfer-Encoding", "Connection", "X-Accel-Redirect", "X-RateLimit-Limit", "X-Request-ID", "X-Execution-ID", "Access-Control-Allow-Origin", "Clear-Site-Data", "X-Craft-Mode", "Strict-Transport-Security"],
)  # fmt: skip
def test_headers_that_are_ours_can_not_be_set(alice, alices, stranger, name):
    body = {"name": "x", **respond(headers={name: "evil"})}
    assert alices.post("/v1/workflows", body, format="json").status_code == 400
    # By an expression neither: the node refuses it, and the door would leave it out.
    graph = respond(headers="{{ input }}", body="x")
    workflow = make_workflow(
        alice, **graph, trigger=webhook(auth="open", answer="respond")
    )
    assert (
        send(stranger, workflow, json.dumps({name: "evil"}).encode()).status_code == 500
    )
    assert last().error["code"] == "invalid_config"
    answer = as_told(
        {
            "status": 200,
            "headers": {name: "evil", "X-Mine": "ok", "X-B": "a\r\nc: d"},
            "body": "x",
        }
    )
    assert (answer.get(name), answer.get("X-B")) in {(None, None), ("sandbox", None)}
    assert answer["X-Mine"] == "ok"


@pytest.mark.parametrize(
    "said",
    [
        {"status": 99, "headers": {}, "body": "x"},
        {"status": "200", "headers": [], "body": "x"},
        {"status": True, "headers": {}, "body": None},
        {"status": 10**30, "headers": None, "body": {}},
        {"status": 200, "headers": {}, "body": "x", "more": 1},
        [1],
        None,
    ],
)
def test_an_output_that_only_looks_like_a_response_is_an_output(alice, stranger, said):
    never = [{"field": "never", "op": "exists"}]
    graph = {
        "nodes": [
            {"id": "fork", "type": "condition", "config": {"conditions": never}},
            {"id": "end", "type": "transform", "config": {"expression": "{{ input }}"}},
            {"id": "answer", "type": "respond", "config": {}},
        ],
        "edges": [
            {"source": "fork", "source_handle": "false", "target": "end"},
            {"source": "fork", "source_handle": "true", "target": "answer"},
        ],
    }
    workflow = make_workflow(
        alice, **graph, trigger=webhook(auth="open", answer="respond")
    )
    answer = send(stranger, workflow, json.dumps(said).encode())
    assert (answer.status_code, answer.json()["data"]) == (200, said)


def test_without_a_respond_node_nobody_can_make_one_up(alice, stranger):
    graph = {
        "nodes": [
            {"id": "end", "type": "transform", "config": {"expression": "{{ input }}"}}
        ],
        "edges": [],
    }
    workflow = make_workflow(
        alice, **graph, trigger=webhook(auth="open", answer="respond")
    )
    said = {"status": 302, "headers": {"Location": "https://example.com"}, "body": ""}
    answer = send(stranger, workflow, json.dumps(said).encode())
    assert (answer.status_code, answer.json()["data"]) == (200, said)


# --- Repetitions ---


def test_a_header_names_a_call(alice, stranger):
    trigger = webhook(auth="open", answer="last", idempotency={"header": "X-Call"})
    workflow = make_workflow(alice, **DOUBLE, trigger=trigger)
    other = make_workflow(alice, **DOUBLE, trigger=trigger)
    first = send(stranger, workflow, b'{"n": 1}', **{"X-Call": "a"})
    again = send(stranger, workflow, b'{"n": 2}', **{"X-Call": "a"})
    assert first.json() == again.json()
    assert first["X-Execution-ID"] == again["X-Execution-ID"]
    assert send(stranger, other, **{"X-Call": "a"})["X-Execution-ID"] != first["X-Execution-ID"]  # fmt: skip
    assert send(stranger, workflow, **{"X-Call": "b"}).status_code == 200
    assert send(stranger, workflow).status_code == 200  # without a name it is its own
    assert Execution.unscoped.count() == 4


def test_an_expression_names_a_call(alice, stranger):
    trigger = webhook(auth="open", idempotency={"expression": "{{ body.id }}"})
    workflow = make_workflow(alice, **DOUBLE, trigger=trigger)
    answers = [send(stranger, workflow, b'{"id": 7}') for _ in range(2)]
    assert answers[0]["X-Execution-ID"] == answers[1]["X-Execution-ID"]
    nameless = send(stranger, workflow, b'{"n": 7}')
    assert nameless.status_code == 400
    assert "idempotency" in nameless.json()["error"]["details"]


def test_without_an_idempotency_of_its_own_a_preset_names_nothing_if_told_so(
    alice, stranger
):
    workflow, secret = with_secret(alice, auth="signature", idempotency=None)
    for _ in range(2):
        assert send(stranger, workflow, **signed(secret)).status_code == 202
    assert Execution.unscoped.count() == 2


def test_a_strangers_idempotency_key_needs_the_proof_each_time(alice, stranger):
    workflow, secret = with_secret(alice, auth="secret")
    headers = {"Idempotency-Key": "k-1", "X-Webhook-Secret": secret}
    first, again = (send(stranger, workflow, **headers) for _ in range(2))
    assert (first.status_code, first.content) == (202, again.content)
    assert again["Idempotent-Replayed"] == "true"
    assert send(stranger, workflow, **{"Idempotency-Key": "k-1"}).status_code == 401


# --- What may be said ---

FAULTS = [
    ({"auth": "none"}, "trigger.auth"),
    ({"auth": ["open"]}, "trigger.auth"),
    ({"preset": "gitlab"}, "trigger.preset"),
    ({"auth": "open", "preset": "github"}, "trigger.preset"),
    ({"auth": "open", "header": "X-A"}, "trigger.header"),
    ({"auth": "secret", "header": "a b"}, "trigger.header"),
    ({"auth": "secret", "header": "Authorization"}, "trigger.header"),
    ({"answer": "later"}, "trigger.answer"),
    ({"timeout_seconds": 5}, "trigger.timeout_seconds"),
    ({"answer": "last", "timeout_seconds": 100}, "trigger.timeout_seconds"),
    ({"methods": []}, "trigger.methods"),
    ({"methods": ["TRACE"]}, "trigger.methods"),
    ({"methods": "POST"}, "trigger.methods"),
    ({"idempotency": "X-A"}, "trigger.idempotency"),
    ({"idempotency": {"header": "a b"}}, "trigger.idempotency"),
    ({"idempotency": {"expression": "{{ body. }}"}}, "trigger.idempotency"),
    ({"idempotency": {"expression": "always"}}, "trigger.idempotency"),
    ({"colour": "green"}, "trigger.colour"),
    ({"schedule": "* * * * *"}, "trigger.schedule"),
]


@pytest.mark.parametrize(("options", "field"), FAULTS)
def test_a_faulty_trigger_is_refused_by_its_field(alices, options, field):
    body = {"name": "x", **DOUBLE, "trigger": webhook(**options)}
    answer = alices.post("/v1/workflows", body, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["details"]) == [field]


def test_a_changed_trigger_counts_at_once(alice, stranger, alices):
    workflow = make_workflow(alice, **DOUBLE, trigger=webhook(auth="open"))
    assert send(stranger, workflow).status_code == 202
    assert send(alices, workflow).status_code == 202
    update_workflow(workflow, user=None, trigger=webhook(answer="last"))
    assert send(stranger, workflow).status_code == 401
    assert send(alices, workflow).status_code == 200
