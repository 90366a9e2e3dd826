"""The nodes that ask data sources and tell subscribers, with real files, rows and transactions."""

import asyncio
import csv

import pytest
from django.utils import timezone

from craft.events import subscribe
from craft.exceptions import InvalidError
from craft.leases import Status
from datasources.guard import QueryError
from datasources.guard.statements import check
from datasources.retrieval import passage, statement, words_of
from datasources.services import create_file_source
from datasources.uploads import Upload
from tests.factories import make_workflow
from tests.workflows.calls import NodeCall, error_of, faults_of, run
from workflows.engine import journal
from workflows.engine.executor import Ending, StepRecord
from workflows.engine.journal import Write
from workflows.models import Execution, Step
from workflows.nodes import NODES
from workflows.nodes.base import NodeError
from workflows.services import executions

ORDERS = [
    {"id": 1, "customer": "Miles O'Brien", "status": "completed", "total": 10.5},
    {"id": 2, "customer": "Miles O'Brien", "status": "completed", "total": 20},
    {"id": 3, "customer": "Miles O'Brien", "status": "pending", "total": 1},
    {"id": 4, "customer": "Ada", "status": "pending", "total": 99},
]
HANDBOOK = [
    {"page": 1, "text": "Guests may park for free."},
    {"page": 7, "text": "A refund takes five days."},
    {"page": 8, "text": "Refunds of Zürich's delayed flights take longer than others."},
    {"page": 9, "text": "Breakfast is at nine. " * 40 + "A refund for breakfast is possible."},
]  # fmt: skip

rows = pytest.mark.django_db(transaction=True, serialized_rollback=True)
"""For nodes that look into the database, in threads of their own."""


@pytest.fixture
def make_source(tmp_path):
    def make(person, name, records):
        path = tmp_path / f"{name}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(records[0]))
            writer.writeheader()
            writer.writerows(records)
        return create_file_source(
            company=person.company,
            user=person.user,
            files=[Upload(f"{name}.csv", path)],
            source_name=name,
        )

    return make


def call(kind, person, config, input=None):
    made = NodeCall(config, input, company_id=person.company.pk)
    return asyncio.run(NODES[kind]().run(made)).value


def start(person, *nodes, input=None, **more):
    return executions.start_execution(
        workflow=make_workflow(person, nodes=list(nodes), edges=more.pop("edges", [])),
        company=person.company,
        user=None,
        input=input,
        trigger={"type": "api"},
        **more,
    )


# --- query ---


@rows
def test_the_example_of_query_runs_and_its_bounds_hold(alice, charlie, make_source):
    orders = make_source(alice, "orders", ORDERS)
    example = NODES["query"].example
    config = example["config"] | {"source_id": orders.pk}
    config |= {"parameters": {"customer": example["input"]["customer"]}}
    assert call("query", alice, config) == example["output"]
    config = {"source_id": orders.pk, "sql": "SELECT id FROM orders ORDER BY id"}
    limited = call("query", alice, config | {"limit": 2})
    assert (limited["rows"], limited["truncated"]) == ([{"id": 1}, {"id": 2}], True)
    several = "SELECT count(*) AS n FROM orders WHERE id IN ($ids) OR customer = $who"
    given = {"ids": [1, 4], "who": "' OR 1=1 --"}
    found = call("query", alice, config | {"sql": several, "parameters": given})
    assert found["rows"] == [{"n": 2}]
    for bad in (
        {"sql": "DROP TABLE orders"},
        {"sql": "SELECT $x", "parameters": {}},
        {"sql": "SELECT 1", "parameters": {"x": 1}},
        {"sql": "SELECT $x", "parameters": {"x": {"a": 1}}},
        {"sql": "SELECT * FROM read_csv('/etc/passwd')"},
    ):
        with pytest.raises(NodeError) as failed:
            call("query", alice, config | bad)
        assert (failed.value.code, failed.value.retryable) == ("invalid_query", False)
    with pytest.raises(NodeError) as failed:
        call("query", charlie, config)
    assert (failed.value.code, failed.value.message) == (
        "not_found",
        f"There is no data source '{orders.pk}'.",
    )


def test_an_expression_can_not_be_pasted_into_sql():
    config = {"source_id": "ds_1", "sql": "SELECT '{{ input }}'"}
    assert "name the value, as $customer" in faults_of("query", config)["sql"]
    config = {"source_id": "ds_1", "sql": "SELECT $a", "parameters": {"a b": 1}}
    assert list(faults_of("query", config)) == ["parameters.a b"]


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("O'Brien'; DROP TABLE t --", "'O''Brien''; DROP TABLE t --'"),
        ("\\' OR 1=1 --", "'\\'' OR 1=1 --'"),
        ("/* */ $$ x $$", "'/* */ $$ x $$'"),
        (-2.5, "(-2.5)"),
        (10**30, str(10**30)),
        (True, "TRUE"),
        (None, "NULL"),
        ([1, "a"], "[1, 'a']"),
    ],
)
def test_a_value_takes_its_place_in_the_tree(value, printed):
    sql = "SELECT a FROM t WHERE a = $x"
    bound = check(
        sql, dialect="duckdb", tables=["t"], row_limit=9, parameters={"x": value}
    )
    assert bound.sql.partition("= ")[2] == f"{printed} LIMIT 10"


@pytest.mark.parametrize(
    ("sql", "parameters", "told"),
    [
        ("SELECT * FROM $x", {"x": "t"}, "not for a table"),
        ("SELECT ?", {"x": 1}, "Name each parameter"),
        ("SELECT $y", {"x": 1}, "no such parameter"),
        ("SELECT $x", {"x": float("nan")}, "must be a text"),
        ("SELECT $x", {"x": "a\0b"}, "must be a text"),
        ("SELECT $x", {"x": [[1]]}, "must be a text"),
        ("SELECT $x", {"x": list(range(1001))}, "at most 1,000"),
        ("SELECT $x", {"x": "x" * 100_001}, "more than 100,000"),
        ("SELECT $x", None, "takes no parameters"),
        ("SELECT * FROM $x", None, "can't be read from"),
    ],
)
def test_a_parameter_that_does_not_fit_is_told(sql, parameters, told):
    with pytest.raises(QueryError, match=told):
        check(sql, dialect="duckdb", tables=["t"], row_limit=9, parameters=parameters)


# --- retrieve ---


@rows
def test_the_rows_that_say_most_come_first(alice, charlie, make_source):
    handbook = make_source(alice, "handbook", HANDBOOK)
    orders = make_source(alice, "orders", ORDERS)
    example = NODES["retrieve"].example
    config = {"source_ids": [handbook.pk], "query": example["input"]["question"]}
    [best] = call("retrieve", alice, config | {"limit": 1})["results"]
    [expected] = example["output"]["results"]
    expected = expected | {"source_id": handbook.pk}
    assert best == expected
    config |= {"query": "delayed flights zurich brien"}
    both = config | {"source_ids": [orders.pk, handbook.pk]}
    found = call("retrieve", alice, both)["results"]
    assert [hit["table"] for hit in found[:2]] == ["handbook", "orders"]
    assert found[0]["values"]["page"] == 8
    assert 0 < found[-1]["score"] < found[0]["score"] < 1
    assert all(
        hit["score"] >= 0.5
        for hit in call("retrieve", alice, both | {"min_score": 0.5})["results"]
    )
    only = call("retrieve", alice, both | {"tables": ["orders"]})["results"]
    assert {hit["table"] for hit in only} == {"orders"}
    config |= {"query": "nowhere"}
    assert call("retrieve", alice, config) == {"results": []}
    with pytest.raises(NodeError) as failed:
        call("retrieve", charlie, config)
    assert failed.value.code == "not_found"


def test_a_query_is_reduced_to_words_that_tell():
    assert words_of("How long do Zürich's refunds take?") == [
        "long",
        "zurich",
        "s",
        "refund",
        "take",
    ]
    assert words_of("the of") == ["the", "of"]
    assert words_of("'; DROP TABLE t; --") == ["drop", "table", "t"]
    assert words_of("?!") == []
    hostile = statement('t" --', ['a"b'], words_of("x'); DROP"))
    checked = check(hostile, dialect="duckdb", tables=['t" --'], row_limit=5)
    assert checked.tables == ('t" --',)


def test_a_passage_is_the_part_that_speaks_of_it():
    assert passage(HANDBOOK[1], ["refund"]) == HANDBOOK[1]["text"]
    long = passage(HANDBOOK[3], ["refund"])
    assert long.endswith("A refund for breakfast is possible.")
    assert long.startswith("…")
    assert len(long) < 510
    assert passage({"a": 1, "b": 2}, ["1"]) == "a: 1, b: 2"


def test_a_foreign_data_source_is_a_fault_at_save(alice, charlie, make_source):
    foreign = make_source(charlie, "orders", ORDERS)
    config = {"source_ids": [foreign.pk], "query": "x"}
    sql = {"source_id": foreign.pk, "sql": "SELECT 1"}
    nodes = [
        {"id": "a", "type": "retrieve", "config": config},
        {"id": "b", "type": "query", "config": sql},
    ]
    with pytest.raises(InvalidError) as refused:
        make_workflow(alice, nodes=nodes, edges=[{"source": "a", "target": "b"}])
    assert list(refused.value.details) == [
        "nodes.0.config.source_ids.0",
        "nodes.1.config.source_id",
    ]


@rows
def test_a_query_runs_in_a_workflow(alice, make_source):
    orders = make_source(alice, "orders", ORDERS)
    config = {
        "source_id": orders.pk,
        "sql": "SELECT sum(total) AS owed FROM orders WHERE customer = $who",
        "parameters": {"who": "{{ input.who }}"},
    }
    node = {"id": "q", "type": "query", "config": config, "cache": {"ttl_seconds": 60}}
    for _ in range(2):
        execution = start(alice, node, input={"who": "Ada"})
        executions.run_due()
        execution.refresh_from_db()
        assert execution.output["rows"] == [{"owed": 99}], execution.error
    [line] = execution.logs
    assert line["details"] == {"cached": True}


# --- emit ---


@pytest.fixture
def heard(request):
    """Events of a name of this test's own: subscribers can't be taken back."""
    name = f"custom.{request.node.name.lower()}"[:100]
    found = []
    subscribe(name, found.append)
    return name, found


def test_an_event_is_published_once_with_the_step_that_made_it(alice, heard):
    name, found = heard
    config = {"event": name, "data": {"order": "{{ input.id }}"}}
    nodes = [
        {"id": "tell", "type": "emit", "config": config},
        {"id": "wait", "type": "delay", "config": {"seconds": 60}},
    ]
    edges = [{"source": "tell", "target": "wait"}]
    execution = start(alice, *nodes, edges=edges, input={"id": 17})
    executions.run_due()
    [event] = found
    assert event.company_id == alice.company.pk
    assert event.data == {
        "id": f"{execution.pk}:tell:",
        "execution_id": execution.pk,
        "data": {"order": 17},
    }
    assert not event.is_change
    Execution.unscoped.update(next_attempt_at=timezone.now())
    executions.run_due()
    assert len(found) == 1


def test_what_a_lost_worker_would_tell_is_not_told(alice, heard):
    name, found = heard
    execution = start(alice, {"id": "tell", "type": "emit", "config": {"event": name}})
    Execution.unscoped.update(status=Status.RUNNING, lease_epoch=2)
    now = timezone.now()
    step = StepRecord("tell", "emit", "tell", 0, "completed", now, completed_at=now)
    news = [(name, {"data": "a\0b"})]

    def write(epoch):
        return Write(execution, epoch, [step], Ending("completed"), news=news)

    assert journal.commit([write(epoch=1)]) == [False]
    assert found == []
    assert journal.commit([write(epoch=2)]) == [True]
    assert [event.data for event in found] == [{"data": "a\ufffdb"}]


def test_the_name_of_an_event_is_the_companys_own():
    for bad in ("workflow.executed", "custom.", "custom.A", "custom.a b", "Custom.a"):
        assert list(faults_of("emit", {"event": bad})) == ["event"]
        error = error_of("emit", {"event": "{{ input }}"}, bad)
        assert error.code == "invalid_config"
    error = error_of("emit", {"event": "custom.a", "data": "x" * 64_000})
    assert error.code == "invalid_input"
    assert run("emit", {"event": "custom.a.b_2"}, [1]).news[0][1]["data"] == [1]


# --- What is spent, where a process was lost ---


def test_an_execution_that_is_ended_from_outside_sums_what_its_steps_took(alice):
    execution = start(alice, {"id": "a", "type": "input"})
    now = timezone.now()
    for name, cost in (("a", 400), ("b", None), ("c", 30)):
        took = {"input_tokens": 10, "output_tokens": 1, "cost_micros": cost}
        Step.objects.create(
            execution=execution,
            node_id=name,
            position=0,
            type="ai_model",
            status="completed",
            started_at=now,
            completed_at=now,
            usage=took,
        )
    assert journal.end_unclaimed(execution, status=Status.CANCELLED)
    assert execution.usage == {
        "input_tokens": 30,
        "output_tokens": 3,
        "cost_micros": 430,
        "unpriced_calls": 1,
    }
