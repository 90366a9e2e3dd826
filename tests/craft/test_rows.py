"""Many rows at once: what is written is what is read, on either database."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from craft import rows
from craft.leases import claim
from tests.factories import make_workflow
from workflows.models import Execution
from workflows.services.executions import build_execution, insert

ODD = [
    {"a": 'quo"te \\ % %s \n\t ä 😀', "n": 2**70, "f": 1e-7},
    "{}",
    "[]",
    "null",
    [],
    {},
    0,
    False,
    None,
]


@pytest.fixture
def build(alice):
    workflow = make_workflow(alice, nodes=[{"id": "start", "type": "input"}])

    def build(input, **fields):
        made = build_execution(
            workflow=workflow,
            company=alice.company,
            user=alice.user,
            input=input,
            trigger={"type": "api"},
        )
        made.__dict__ |= fields
        return made

    return build


def test_what_is_claimed_is_as_django_reads_it(build):
    insert([build(input) for input in ODD])
    claimed = claim(Execution, limit=50)
    assert [each.input for each in claimed] == ODD
    for each in claimed:
        read = Execution.unscoped.get(pk=each.pk)
        assert each.__dict__.keys() == read.__dict__.keys()
        assert {**each.__dict__, "_state": 0} == {**read.__dict__, "_state": 0}
        assert not each._state.adding


def test_the_oldest_come_first(build):
    now = timezone.now()
    made = [build(n, next_attempt_at=now - timedelta(seconds=n)) for n in range(5)]
    insert(made)
    assert [each.input for each in claim(Execution, limit=3)] == [4, 3, 2]
    assert [each.input for each in claim(Execution, limit=3)] == [1, 0]


def test_what_is_too_long_for_one_statement_takes_several(build, monkeypatch):
    monkeypatch.setattr(rows, "MOST_TEXT", 3_000)
    made = [build("x" * 1_000) for _ in range(7)]
    with CaptureQueriesContext(connection) as asked:
        rows.insert(made)
    if connection.vendor == "postgresql":
        assert len(asked) > 1
    for each in made:
        each.output = [each.pk]
    rows.update(made, fields=("output",))
    stored = Execution.unscoped.values_list("pk", "input", "output").order_by("pk")
    assert list(stored) == [(e.pk, "x" * 1_000, [e.pk]) for e in made]
