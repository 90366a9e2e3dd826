"""Starts that take the short way are answered as the view answers them. `plain` and `odd` calls are made both ways, and what is said is compared."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import OperationalError, connection

from craft.api.light import _plain_call
from craft.encoding import to_json
from tests.factories import make_key, make_person, make_workflow
from tests.lane import LaneClient
from workflows import light
from workflows.models import Execution, Workflow
from workflows.services import executions
from workflows.services.executions import run_due
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


@pytest.fixture(params=["queued", "eager"])
def starts(request):
    """Both ways in which one is started that could be run at once."""
    if request.param == "eager":
        request.getfixturevalue("eager")


@pytest.mark.usefixtures("starts")
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


@pytest.mark.usefixtures("starts")
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


@pytest.mark.usefixtures("starts")
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


# --- Looks ---

ODDITIES = {
    "it fails": ({"type": "transform", "config": {"set": {"b": "{{ input.none }}"}}}, {}),
    "numbers beyond 64 bits": ({"type": "transform", "config": {"set": {"b": "{{ 10 ** 30 }}"}}}, {}),
    "more than a row holds": ({"type": "transform", "config": {"set": {"b": "{{ input.a * 300000 }}"}}}, {"a": "x"}),
    "it waits": ({"type": "delay", "config": {"seconds": 600}}, {}),
    "turns": ({"type": "map", "config": {"items": "{{ [1, 2] }}"}}, {}),
    "a way that was not taken": ({"type": "condition", "config": {"conditions": [{"field": "a", "op": "eq", "value": 1}]}}, {"a": 2}),
}  # fmt: skip

HANDLES = {
    "map": {"sourceHandle": "item"},
    "condition": {"sourceHandle": "true"},
}


@pytest.mark.usefixtures("starts")
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_execution_is_shown_as_by_the_view(ways, alice, oddity, mode):
    node, given = ODDITIES[oddity]
    workflow = make_workflow(
        alice,
        nodes=[{"id": "odd", "name": "An odd one", **node}, {"id": "end", "type": "transform", "config": {"set": {"c": "{{ input }}"}}}],
        edges=[{"source": "odd", "target": "end", **HANDLES.get(node["type"], {})}],
    )  # fmt: skip
    path = f"/v1/workflows/{workflow.pk}/execute"
    body = {"input": given, "labels": {"customer": "ü"}, "mode": mode}
    made = ways[1].post(path, body, format="json").json()["data"]["id"]
    for base in BASES[:2]:
        short, long = (way.get(f"{base}/executions/{made}") for way in ways)
        assert short.status_code == 200
        assert told(short) == told(long)
        assert exactly(short) == exactly(long)
    run_due()
    short, long = (way.get(f"/v1/executions/{made}") for way in ways)
    assert exactly(short) == exactly(long)


def exactly(answer):
    return json.loads(answer.content)


def test_an_execution_is_looked_for_on_the_short_way_and_others_are_not_found(
    taken, ways, alice, charlie
):
    execution = executed(alice)
    answer = ways[0].get(f"/v1/executions/{execution.pk}")
    assert (answer.status_code, [one is not None for one in taken]) == (200, [True])
    taken.clear()
    foreign = executed(charlie)
    for other in (foreign.pk, "exec_nothing", f"{execution.pk}x"):
        short, long = (way.get(f"/v1/executions/{other}") for way in ways)
        assert short.status_code == 404
        assert told(short) == told(long)
    assert not any(taken)


def executed(person):
    workflow = make_workflow(person, **GRAPH)
    return executions.run_execution(
        workflow=workflow, company=person.company, user=person.user, input={"a": 1}, trigger={"type": "api"}, timeout_seconds=5
    )  # fmt: skip


@pytest.mark.parametrize("number", [0, 1, 20, 21])
def test_workflows_are_listed_as_by_the_view(taken, ways, alice, charlie, number):
    make_workflow(charlie, **GRAPH)
    executed_once = executed(alice).workflow if number else None
    for place in range(number - 1):
        trigger = {"type": "webhook", "auth": "secret"} if place % 2 else "api"
        made = make_workflow(alice, **GRAPH, trigger=trigger, tags=["a", "ü"])
    if number > 1:
        update_workflow(made, user=alice.user, error_workflow=executed_once, nodes=GRAPH["nodes"][:1], edges=[])  # fmt: skip
        Workflow.objects.for_company(alice.company).filter(pk=made.pk).update(rating_count=3, rating_total=7, public=True)  # fmt: skip
    for base in BASES:
        short, long = (way.get(f"{base}/workflows") for way in ways)
        assert told(short) == told(long)
        assert exactly(short) == exactly(long)
    assert [answer is not None for answer in taken] == [True] * len(BASES)


@pytest.mark.parametrize("extra", [{"QUERY_STRING": "limit=1"}, {"QUERY_STRING": "limit=0"}, {"QUERY_STRING": "colour=green"}, {"HTTP_ACCEPT": "text/html"}, {"HTTP_ORIGIN": "https://example.com"}])  # fmt: skip
def test_whatever_else_is_asked_of_a_list_is_left_to_the_view(
    taken, ways, alice, extra
):
    short, long = (way.generic("GET", "/v1/workflows", **extra) for way in ways)
    assert told(short) == told(long)
    assert not any(taken)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "evil.example", "", "127.0.0.1:80000000"]
)
def test_a_host_that_is_not_ours_is_refused_in_the_same_words(ways, settings, host):
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    short, long = (way.get("/v1/workflows", HTTP_HOST=host) for way in ways)
    assert told(short) == told(long)


def test_looks_cost_few_queries(ways, alice, django_assert_num_queries):
    execution = executed(alice)
    for _ in range(2):
        ways[0].get("/v1/workflows")
    with django_assert_num_queries(1):
        ways[0].get("/v1/workflows")
    with django_assert_num_queries(2):
        ways[0].get(f"/v1/executions/{execution.pk}")


# --- Together ---


def test_who_looks_together_is_told_what_is_theirs(
    alice, charlie, django_assert_num_queries
):
    """The same is looked for once; nobody is given another's."""
    mine, theirs = executed(alice), executed(charlie)
    keys = {who.company.pk: make_key(who) for who in (alice, charlie)}
    asked = [
        (person, base, execution)
        for person in (alice, charlie, alice)
        for base in BASES[:2]
        for execution in (mine, theirs)
    ]
    alone = [
        client(keys[person.company.pk]).get(f"{base}/executions/{execution.pk}")
        for person, base, execution in asked
    ]
    calls = [
        light_call(
            client(keys[person.company.pk]),
            f"{base}/executions/{execution.pk}",
            light.READ,
        )
        for person, base, execution in asked
    ]
    with django_assert_num_queries(2 * 2 * 2 + 2 * 2):  # found, with steps; not found
        light.read_execution(calls)
    for call, (person, _, execution), answer in zip(calls, asked, alone, strict=True):
        is_own = execution.company_id == person.company.pk
        assert (call.answer is not None) == is_own == (answer.status_code == 200)
        if is_own:
            assert json.loads(to_json(call.answer.data)) == exactly(answer)


def test_who_lists_together_is_told_what_is_theirs(alice, charlie):
    make_workflow(alice, **GRAPH)
    keys = [make_key(alice), make_key(charlie), make_key(alice)]
    alone = [client(key).get("/v1/workflows") for key in keys]
    calls = [light_call(client(key), "/v1/workflows", light.LIST) for key in keys]
    light.list_workflows(calls)
    told = [json.loads(to_json(call.answer.data)) for call in calls]
    assert told == [exactly(answer) for answer in alone]
    assert told[0] == told[2] != told[1]


def light_call(customer, path, kind):
    environ = environ_of(customer, path, None, method="get")
    return _plain_call(environ, kind.path.fullmatch(path))


@pytest.mark.usefixtures("starts")
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_calls_that_come_together_are_each_answered_once(alice, settings):
    settings.API_CEILING_PER_MINUTE = 45
    workflow = make_workflow(alice, **GRAPH)
    customer = client(make_key(alice))
    path = f"/v1/workflows/{workflow.pk}/trigger"
    environs = [environ_of(customer, path, {"n": number}) for number in range(60)]
    lane = customer.handler.lane

    def ask(environ):
        try:
            return lane.answer(environ)
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, environs))
    accepted = [answer for answer in answers if answer is not None]
    assert len(accepted) <= 45, "a limit is a limit"
    assert len(accepted) >= 33, "only a group that has no room for all is left to the views"  # fmt: skip
    left = [int(dict(headers)["X-RateLimit-Remaining"]) for _, headers, _ in accepted]
    assert sorted(left, reverse=True) == list(range(44, 44 - len(left), -1))
    said = {json.loads(body)["data"]["id"] for _, _, body in accepted}
    stored = Execution.objects.for_company(alice.company).values_list("pk", "input__n")
    assert said == {pk for pk, _ in stored}
    kept = sorted(number for _, number in stored)
    assert kept == [n for n, answer in enumerate(answers) if answer is not None]


def environ_of(customer, path, body, method="post"):
    found = {}

    def keep(environ):
        found.update(environ)
        raise StopAsyncIteration

    handler, customer.handler = customer.handler, keep
    with pytest.raises(StopAsyncIteration):
        getattr(customer, method)(path, body, format="json")
    customer.handler = handler
    return found


@pytest.mark.usefixtures("starts")
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_database_that_is_gone_is_told_as_by_the_view(alice, settings, monkeypatch):
    workflow = make_workflow(alice, **GRAPH)
    ways = two_ways(make_key(alice), settings)
    path = f"/v1/workflows/{workflow.pk}/trigger"
    for way in ways:
        assert way.post(path, {}, format="json").status_code == 202
    with connection.execute_wrapper(break_inserts):
        short, long = (way.post(path, {}, format="json") for way in ways)
    assert short.status_code == 503
    assert told(short) == told(long)
    assert ways[0].post(path, {}, format="json").status_code == 202


def break_inserts(execute, sql, params, many, context):
    if sql.startswith("INSERT INTO"):
        raise OperationalError("the connection was lost")
    return execute(sql, params, many, context)
