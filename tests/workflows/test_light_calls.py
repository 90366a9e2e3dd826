"""Starts that take the short way are answered as the view answers them. `plain` and `odd` calls are made both ways, and what is said is compared."""

import json
from dataclasses import replace

import pytest

from tests.factories import make_key, make_person, make_workflow
from tests.lane import LaneClient
from workflows import light
from workflows.models import Execution
from workflows.services.workflows import delete_workflow, update_workflow

GRAPH = {
    "nodes": [
        {"id": "start", "type": "input", "config": {}},
        {"id": "end", "type": "transform", "config": {"set": {"b": "{{ input.a }}"}}},
    ],
    "edges": [{"source": "start", "target": "end"}],
}
BASES = ["/v1", "/api/v1", "/api"]
OF_ITS_OWN = {"X-Request-ID", "X-Execution-ID", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Content-Length"}  # fmt: skip
MOMENTS = {
    "at",
    "time",
    "created_at",
    "started_at",
    "completed_at",
    "duration_ms",
    "latency_ms",
}


@pytest.fixture
def ways(alice, settings):
    return two_ways(make_key(alice), settings)


def two_ways(key, settings):
    """Two customers with the same key; only the calls of one may take the short way."""
    calls, made = settings.CRAFT_LIGHT_CALLS, []
    for allowed in (calls, []):
        settings.CRAFT_LIGHT_CALLS = allowed
        made.append(client(key))
        assert made[-1].handler.lane is not None  # reads the settings
    settings.CRAFT_LIGHT_CALLS = calls
    return made


def client(key):
    made = LaneClient(raise_request_exception=False)
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return made


@pytest.fixture
def taken(monkeypatch):
    """What took the short way, and how far."""
    answers = []
    for name in ("TRIGGER", "EXECUTE", "LIST", "READ"):
        own = getattr(light, name)

        def answer(calls, own=own):
            own.answer(calls)
            answers.extend(call.answer for call in calls)

        monkeypatch.setattr(light, name, replace(own, answer=answer))
    return answers


def told(answer):
    """What an answer says, apart from what is of this very execution."""
    headers = {k: v for k, v in answer.items() if k not in OF_ITS_OWN}
    return answer.status_code, headers, without_ids(json.loads(answer.content))


def without_ids(data):
    if isinstance(data, dict):
        return {
            key: type(value).__name__
            if key in MOMENTS or key.endswith("id")
            else without_ids(value)
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [without_ids(item) for item in data]
    return data


PLAIN = [
    ("trigger", {"a": 1}),
    ("trigger", [1, "zwölf", None]),
    ("trigger", "a text"),
    ("execute", {}),
    ("execute", {"input": {"a": 1}}),
    ("execute", {"inputs": {"a": 1.5}, "mode": "async"}),
    ("execute", {"input": {"a": 1}, "mode": "sync"}),
    ("execute", {"input": {"a": 10**30}, "mode": "sync"}),
    ("execute", {"input": {"a": "\N{GRINNING FACE} ü"}, "mode": "sync"}),
    ("trigger", {"a": [-(2**64), 1e300, True]}),
]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("action", "body"), PLAIN)
def test_a_plain_start_is_answered_as_by_the_view(
    taken, ways, alice, base, action, body
):
    workflow = make_workflow(alice, **GRAPH)
    path = f"{base}/workflows/{workflow.pk}/{action}"
    short, long = (way.post(path, body, format="json") for way in ways)
    assert told(short) == told(long)
    assert [answer is not None for answer in taken] == [True]
    first, second = Execution.objects.for_company(alice.company).order_by("pk")
    for field in ("workflow_id", "version_id", "created_by_id", "trigger", "input", "status", "output"):  # fmt: skip
        assert getattr(first, field) == getattr(second, field), field
    workflow.refresh_from_db()
    assert workflow.usage_count == 2


def test_a_webhook_keeps_the_same_of_a_call_either_way(taken, ways, alice):
    for trigger, is_plain in (
        ("webhook", True),
        ({"type": "webhook", "auth": "secret", "header": "X-Own"}, True),
        ({"type": "webhook", "answer": "last"}, False),
        ({"type": "webhook", "methods": ["POST", "PUT"]}, False),
        ({"type": "webhook", "preset": "stripe", "idempotency": None}, True),
        ({"type": "webhook", "preset": "github"}, False),
    ):
        taken.clear()
        workflow = make_workflow(alice, **GRAPH, trigger=trigger)
        path = f"/v1/workflows/{workflow.pk}/trigger"
        more = {"HTTP_X_OWN": "hidden", "HTTP_X_KIND": "ü".encode().decode("latin-1")}
        short, long = (
            way.post(path, {"a": "ü"}, format="json", **more) for way in ways
        )
        assert told(short) == told(long), trigger
        assert [answer is not None for answer in taken] == [is_plain], trigger
        first, second = workflow.executions.order_by("pk")
        assert first.trigger == second.trigger
        assert first.trigger["body"] == '{"a":"ü"}'


ODD = [
    ("trigger", b"{", {}),
    ("trigger", b'{"a": NaN}', {}),
    ("trigger", b'"\\u0000"', {}),
    ("trigger", b"[" * 200, {}),
    ("trigger", b"", {}),
    ("trigger", b"{}", {"content_type": "text/plain"}),
    ("trigger", b"{}", {"HTTP_ACCEPT": "text/html"}),
    ("trigger", b"{}", {"QUERY_STRING": "a=1"}),
    ("execute", b"[]", {}),
    ("execute", b'{"input": 1, "inputs": 2}', {}),
    ("execute", b'{"mode": "later"}', {}),
    ("execute", b'{"mode": ["sync"]}', {}),
    ("execute", b'{"timeout_seconds": 100}', {}),
    ("execute", b'{"colour": "green"}', {}),
]


@pytest.mark.parametrize(("action", "body", "extra"), ODD)
def test_whatever_is_odd_is_left_to_the_view(taken, ways, alice, action, body, extra):
    workflow = make_workflow(alice, **GRAPH)
    extra = {"content_type": "application/json", **extra}
    path = f"/v1/workflows/{workflow.pk}/{action}"
    short, long = (way.generic("POST", path, body, **extra) for way in ways)
    assert told(short) == told(long)
    assert not any(taken)


def test_who_may_not_is_refused_in_the_same_words(
    taken, alice, vera, charlie, settings
):
    workflow = make_workflow(alice, **GRAPH)
    path = f"/v1/workflows/{workflow.pk}/trigger"
    for key in ("", "cv_live_nonsense", make_key(vera), make_key(charlie), make_key(alice, "read"), make_key(alice, mode="test")):  # fmt: skip
        answers = [way.post(path, {}, format="json") for way in two_ways(key, settings)]
        assert answers[0].status_code in {401, 403, 404}
        assert told(answers[0]) == told(answers[1])
    assert not any(taken)


def test_a_key_for_repeats_takes_the_long_way_and_acts_once(taken, ways, alice):
    workflow = make_workflow(alice, **GRAPH)
    path = f"/v1/workflows/{workflow.pk}/trigger"
    first, second = (
        ways[0].post(path, {}, format="json", HTTP_IDEMPOTENCY_KEY="once")
        for _ in range(2)
    )
    assert first.content == second.content
    assert not any(taken)


def test_a_change_counts_at_once(ways, alice):
    workflow = make_workflow(alice, **GRAPH)
    path = f"/v1/workflows/{workflow.pk}/execute"

    def run():
        body = {"input": {"a": 1}, "mode": "sync"}
        answer = ways[0].post(path, body, format="json")
        return answer.status_code, answer.json().get("data", {}).get("output")

    assert run() == (200, {"a": 1, "b": 1}) == run()
    changed = [
        GRAPH["nodes"][0],
        {"id": "end", "type": "transform", "config": {"set": {"b": 2}}},
    ]
    update_workflow(workflow, user=alice.user, nodes=changed)
    assert run() == (200, {"a": 1, "b": 1}), "not before it is published"
    update_workflow(workflow, user=alice.user, status="published")
    assert run() == (200, {"a": 1, "b": 2})
    update_workflow(workflow, user=alice.user, status="draft")
    assert ways[0].post(f"/v1/workflows/{workflow.pk}/trigger", {}, format="json").status_code == 409  # fmt: skip
    delete_workflow(workflow)
    assert run()[0] == 404


def test_a_limit_is_kept_to_the_call(ways, settings):
    settings.API_CEILING_PER_MINUTE = 5
    person = make_person()
    workflow = make_workflow(person, **GRAPH)
    caller = client(make_key(person))
    answers = [
        caller.post(f"/v1/workflows/{workflow.pk}/trigger", {}, format="json")
        for _ in range(8)
    ]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429] * 3
    assert answers[0]["X-RateLimit-Remaining"] == "4"
    assert "Retry-After" in answers[-1]
