"""Tests kept with a workflow: an input, and what is expected of it. They run in this process, store nothing and reach nothing outside."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from accounts.models import User
from craft.events import Event, changes_between, publish
from craft.exceptions import ConflictError, InvalidError
from workflows import events
from workflows.engine.conditions import check_conditions, compile_conditions
from workflows.engine.differences import Change, changes_of
from workflows.engine.executor import Ending
from workflows.engine.expressions import ExpressionError
from workflows.engine.graph import Graph, GraphError, compile_graph
from workflows.engine.journal import CATALOGUE
from workflows.engine.rehearsal import rehearse
from workflows.models import Workflow, WorkflowTest, WorkflowVersion

MOST_TESTS = 100
TEST_SECONDS = 10.0
ALL_TESTS_SECONDS = 60.0
FIELDS = ("name", "input", "pins", "expected")


class TestsFailedError(ConflictError):
    """What was to be published fails its tests; `details` says which, and how."""

    __test__ = False  # pytest
    code = "tests_failed"


@dataclass(frozen=True)
class Result:
    """How one test went."""

    test: WorkflowTest
    status: str
    output: Any
    error: dict[str, Any] | None
    differences: list[Change]
    mocked: list[str] = field(default_factory=list)
    duration_ms: float = 0.0

    @property
    def is_passed(self) -> bool:
        return not self.differences

    @property
    def sentence(self) -> str:
        """What was expected first of all, and was not so."""
        if self.error and self.differences[0]["path"] in {"status", "error_code"}:
            return f"{self.test.name}: {self.error['message']}"
        first = self.differences[0]
        where = first["path"] or "output"
        said = [f"expected {_short(first['expected'])}"] if "expected" in first else []
        got = [f"got {_short(first['actual'])}"] if "actual" in first else []
        return f"{self.test.name}: {where}: {', '.join([*said, *got])}."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


# --- Keeping them ---


@transaction.atomic
def create_test(
    *, workflow: Workflow, user: User | None, **fields: Any
) -> WorkflowTest:
    _lock(workflow)
    check_test(workflow, fields)
    if WorkflowTest.unscoped.filter(workflow=workflow).count() >= MOST_TESTS:
        raise ConflictError(f"A workflow has at most {MOST_TESTS} tests.")
    test = WorkflowTest(
        workflow=workflow, company_id=workflow.company_id, created_by=user, **fields
    )
    test.save(force_insert=True)
    _tell(events.WORKFLOW_TEST_CREATED, test, {}, told(test))
    return test


@transaction.atomic
def update_test(test: WorkflowTest, **changes: Any) -> WorkflowTest:
    check_test(test.workflow, changes)
    before = told(test)
    test.assign(changes)
    test.save()
    _tell(events.WORKFLOW_TEST_UPDATED, test, before, told(test))
    return test


@transaction.atomic
def delete_test(test: WorkflowTest) -> None:
    _tell(events.WORKFLOW_TEST_DELETED, test, told(test), {})
    test.delete()


def _lock(workflow: Workflow) -> None:
    Workflow.unscoped.select_for_update().filter(pk=workflow.pk).first()


def told(test: WorkflowTest) -> dict[str, Any]:
    return {name: getattr(test, name) for name in FIELDS}


def _tell(
    kind: str, test: WorkflowTest, before: dict[str, Any], after: dict[str, Any]
) -> None:
    data = {
        "workflow_test_id": test.pk,
        "workflow_id": test.workflow_id,
        "changes": changes_between(before, after),
    }
    publish(Event(kind, test.company_id, data))


def check_test(workflow: Workflow, fields: dict[str, Any]) -> None:
    """Raise InvalidError where a condition can't be read, or a pin is of no node of any version that the test could run on."""
    expected = fields.get("expected", {})
    faults = {}
    if "conditions" in expected:
        faults = check_conditions(expected["conditions"], "expected.conditions")
    nodes = workflow.version.nodes if workflow.version else []
    known = {node["id"] for node in nodes}
    for node_id in fields.get("pins", {}):
        if node_id not in known:
            faults[f"pins.{node_id}"] = "The workflow has no such node."
    if faults:
        raise InvalidError("The test can't be run like this.", details=faults)


# --- Running them ---


def exist_for(workflow: Workflow) -> bool:
    return WorkflowTest.unscoped.filter(workflow=workflow).exists()


def require_passing(workflow: Workflow, definition: dict[str, Any]) -> None:
    """Raises TestsFailedError."""
    tests = WorkflowTest.unscoped.filter(workflow=workflow).order_by("pk")
    failed = [
        result
        for result in run_tests(workflow, definition, tests)
        if not result.is_passed
    ]
    if failed:
        count = f"{len(failed)} of its tests fail"
        names = ", ".join(result.test.name for result in failed[:5])
        raise TestsFailedError(
            f"This can't go live: {count if len(failed) > 1 else 'one of its tests fails'} ({names}). Mend it, or publish with force.",
            details={f"tests.{result.test.pk}": result.sentence for result in failed},
        )


def run_tests(
    workflow: Workflow,
    definition: dict[str, Any],
    tests: Iterable[WorkflowTest],
    *,
    version: WorkflowVersion | None = None,
) -> list[Result]:
    """Each by itself, one after the other. What is not begun after a minute fails."""
    tests = list(tests)
    try:
        graph = compile_graph(definition, CATALOGUE) if tests else None
    except GraphError as error:
        raise InvalidError(
            "This version has faults, so that it can't be run.", details=error.faults
        ) from None
    about = {
        "id": workflow.pk,
        "name": workflow.name,
        "version": version.number if version else None,
    }
    until = time.monotonic() + ALL_TESTS_SECONDS
    return [
        _run(graph, definition["variables"], test, about, until)
        for test in tests
        if graph
    ]


def _run(
    graph: Graph,
    variables: dict[str, Any],
    test: WorkflowTest,
    about: dict[str, Any],
    until: float,
) -> Result:
    left = until - time.monotonic()
    if left <= 0:
        message = f"The tests before it took {ALL_TESTS_SECONDS:g} seconds."
        return _judge(test, Ending("failed", error=_error("timeout", message)))
    gone = sorted(set(test.pins) - set(graph.nodes))
    if gone:
        message = f"It pins nodes that are gone: {', '.join(gone)}."
        return _judge(test, Ending("failed", error=_error("invalid_pins", message)))
    done = rehearse(
        graph,
        input=test.input,
        variables=variables,
        pins=test.pins,
        workflow=about,
        company_id=test.company_id,
        seconds=min(left, TEST_SECONDS),
    )
    return _judge(test, done.ending, done.mocked, done.duration_ms)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "node_id": None}


def _judge(
    test: WorkflowTest,
    ending: Ending,
    mocked: Sequence[str] = (),
    duration_ms: float = 0.0,
) -> Result:
    return Result(
        test=test,
        status=ending.status,
        output=ending.output,
        error=ending.error,
        differences=list(_differences(test.expected, ending)),
        mocked=list(mocked),
        duration_ms=duration_ms,
    )


def _differences(expected: dict[str, Any], ending: Ending) -> Iterable[Change]:
    status = expected.get("status", "completed")
    if ending.status != status:
        yield {"path": "status", "expected": status, "actual": ending.status}
        return
    code = (ending.error or {}).get("code")
    if "error_code" in expected and code != expected["error_code"]:
        wanted = expected["error_code"]
        yield {"path": "error_code", "expected": wanted, "actual": code}
    if "output" in expected:
        for change in changes_of(expected["output"], ending.output, "output"):
            yield _worded(change)
    if "conditions" in expected and not _holds(expected, ending.output):
        conditions = expected["conditions"]
        yield {"path": "conditions", "expected": conditions, "actual": ending.output}


def _holds(expected: dict[str, Any], output: Any) -> bool:
    conditions, combine = expected["conditions"], expected.get("combine", "all")
    try:
        return compile_conditions(conditions, combine)(output, {"output": output})
    except ExpressionError:
        return False


def _worded(change: Change) -> Change:
    words = {"path": "path", "before": "expected", "after": "actual"}
    return {words[name]: value for name, value in change.items()}
