"""`dedupe` across executions: an item is let through once, whoever sees it first, for as long as it is remembered."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import make_workflow
from tests.workflows.test_executions import drain, start
from workflows.models import Execution, SeenKey
from workflows.services.seen import forget_expired

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def deduping(person, **config):
    node = {
        "id": "new",
        "type": "dedupe",
        "config": {"remember_seconds": 3600, **config},
    }
    return make_workflow(person, nodes=[node], edges=[])


def run(person, workflow, items):
    execution = start(person, workflow, input=items)
    drain()
    return Execution.unscoped.get(pk=execution.pk)


def test_what_an_earlier_execution_let_through_is_left_out(alice):
    workflow = deduping(alice, by=["id"])
    first = run(alice, workflow, [{"id": 1}, {"id": 2}, {"id": 1}])
    assert first.output == [{"id": 1}, {"id": 2}]
    assert run(alice, workflow, [{"id": 2}, {"id": 3}]).output == [{"id": 3}]
    other = deduping(alice, by=["id"])
    assert run(alice, other, [{"id": 2}]).output == [{"id": 2}]


def test_whole_items_are_told_apart_whatever_the_order_of_their_fields(alice):
    workflow = deduping(alice)
    run(alice, workflow, [{"a": 1, "b": [True, None]}])
    again = run(
        alice, workflow, [{"b": [True, None], "a": 1.0}, {"a": 1, "b": [1, None]}]
    )
    assert again.output == [{"a": 1, "b": [1, None]}]


def test_it_is_remembered_for_a_time(alice):
    workflow = deduping(alice)
    run(alice, workflow, [1])
    SeenKey.unscoped.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert run(alice, workflow, [1]).output == [1]
    SeenKey.unscoped.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert forget_expired() == 1
    assert not SeenKey.unscoped.exists()


def test_who_is_broken_off_finds_the_same_again(alice):
    workflow = deduping(alice)
    asked = {
        "company_id": alice.company.pk,
        "workflow_id": workflow.pk,
        "node_id": "new",
        "digests": ["a", "b"],
        "seconds": 60,
    }
    own = SeenKey.objects.for_company(alice.company)
    assert own.claim(owner="exec_1:new:", **asked) == {"a", "b"}
    assert own.claim(owner="exec_1:new:", **asked) == {"a", "b"}
    assert own.claim(owner="exec_2:new:", **asked) == set()


def test_items_that_lack_the_field_may_all_go_on(alice):
    workflow = deduping(alice, by=["id"], missing="keep")
    run(alice, workflow, [{"id": 1}, {"x": 1}])
    assert run(alice, workflow, [{"id": 1}, {"x": 1}]).output == [{"x": 1}]
