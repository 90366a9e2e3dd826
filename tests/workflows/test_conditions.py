"""Conditions as data."""

import timeit
from itertools import product
from typing import Any

import pytest

from workflows.engine.conditions import OPS, check_conditions, compile_conditions
from workflows.engine.expressions import ExpressionError

DATA: dict[str, Any] = {
    "priority": 8,
    "price": 2.5,
    "name": "Ada",
    "tags": ["red", 1, None, {"a": 1}],
    "order": {"items": [{"price": 10}, {"price": 20}], "0": "zero"},
    "nothing": None,
    "no": False,
    "empty": "",
    "list": [],
    "object": {},
    "zero": 0,
    "date": "2026-03-01T10:00:00Z",
}


def holds(
    field: str, op: str, value: Any = None, scope: dict[str, Any] | None = None
) -> bool:
    condition = {"field": field, "op": op, "value": value}
    return compile_conditions([condition])(DATA, scope or {})


TRUE = [
    ("priority", "eq", 8),
    ("priority", "eq", 8.0),
    ("nothing", "eq", None),
    ("tags", "eq", ["red", 1, None, {"a": 1}]),
    ("order.0", "eq", "zero"),
    ("order.items.1.price", "eq", 20),
    ("priority", "ne", "8"),
    ("no", "ne", 0),
    ("priority", "gt", 7),
    ("priority", "gte", 8),
    ("price", "lt", 3),
    ("price", "lte", 2.5),
    ("name", "gt", "Aaa"),
    ("date", "gte", "2026-01-01"),
    ("priority", "in", [1, 8]),
    ("nothing", "in", [None]),
    ("priority", "not_in", ["8"]),
    ("tags", "contains", "red"),
    ("tags", "contains", {"a": 1.0}),
    ("name", "contains", "da"),
    ("order", "contains", "items"),
    ("tags", "not_contains", "green"),
    ("priority", "not_contains", 8),
    ("name", "starts_with", "A"),
    ("name", "ends_with", "da"),
    ("name", "matches", "^[A-Z][a-z]+$"),
    ("name", "matches", "d"),
    ("nothing", "exists", None),
    ("nope", "not_exists", None),
    ("order.items.9", "not_exists", None),
    ("name.first", "not_exists", None),
    ("nothing", "empty", None),
    ("empty", "empty", None),
    ("list", "empty", None),
    ("object", "empty", None),
    ("priority", "between", [8, 10]),
    ("name", "between", ["A", "B"]),
]
FALSE = [
    ("priority", "eq", "8"),
    ("priority", "eq", True),
    ("no", "eq", 0),
    ("nothing", "eq", ""),
    ("priority", "ne", 8.0),
    ("priority", "gte", "8"),
    ("name", "gt", 3),
    ("nothing", "lt", 3),
    ("no", "lt", 3),
    ("list", "gt", []),
    ("priority", "in", ["8"]),
    ("tags", "contains", "RED"),
    ("priority", "contains", 8),
    ("priority", "starts_with", "8"),
    ("priority", "matches", "8"),
    ("nope", "exists", None),
    ("zero", "empty", None),
    ("no", "empty", None),
    ("priority", "between", [9, 10]),
    ("priority", "between", ["1", "9"]),
]


@pytest.mark.parametrize(("field", "op", "value"), TRUE)
def test_a_condition_holds(field: str, op: str, value: Any) -> None:
    assert holds(field, op, value) is True


@pytest.mark.parametrize(("field", "op", "value"), FALSE)
def test_a_condition_does_not_hold(field: str, op: str, value: Any) -> None:
    assert holds(field, op, value) is False


def test_every_op_is_tried_above() -> None:
    assert {op for _, op, _ in TRUE} == set(OPS)


@pytest.mark.parametrize("op", OPS)
def test_a_missing_field_holds_only_for_what_says_no(op: str) -> None:
    expected = op in {"not_exists", "ne", "not_in", "not_contains", "empty"}
    values: list[Any] = [None, 1, "a", ["a", "b"], {"a": 1}]
    assert {holds("nope.at.all", op, value) for value in values} == {expected}


KINDS: list[Any] = [None, True, False, 0, 1, 1.5, 10**30, "", "a", "1", [], [1, 2], ["a", "b"], {}, {"a": 1}]  # fmt: skip


@pytest.mark.parametrize("op", OPS)
def test_no_two_kinds_of_value_make_an_exception(op: str) -> None:
    for found, value in product(KINDS, KINDS):
        check = compile_conditions([{"field": ".", "op": op, "value": value}])
        assert type(check(found, {})) is bool


def test_the_data_itself_is_a_point() -> None:
    check = compile_conditions([{"field": ".", "op": "gt", "value": 2}])
    assert [item for item in [1, 2, 3, "4"] if check(item, {})] == [3]


def test_value_and_field_may_be_expressions() -> None:
    scope = {"variables": {"least": 5, "tiers": ["gold"]}, "nodes": {"a": {"n": 7}}}
    assert holds("priority", "gte", "{{ variables.least }}", scope)
    assert holds("priority", "between", ["{{ variables.least }}", 9], scope)
    assert holds("name", "eq", "{{ 'A' }}da", scope)
    assert holds("{{ nodes.a.n }}", "eq", 7, scope)
    assert holds("{{ nodes.b.n }}", "not_exists", None, scope)
    assert not holds("priority", "in", "{{ variables.tiers }}", scope)
    with pytest.raises(ExpressionError, match=r"variables\.most is missing"):
        holds("priority", "lt", "{{ variables.most }}", scope)


def test_all_or_any() -> None:
    conditions = [
        {"field": "priority", "op": "gte", "value": 8},
        {"field": "name", "op": "eq", "value": "Bob"},
    ]
    assert compile_conditions(conditions, "any")(DATA, {}) is True
    assert compile_conditions(conditions, "all")(DATA, {}) is False
    assert compile_conditions([], "all")(DATA, {}) is True
    assert compile_conditions([], "any")(DATA, {}) is False


def test_the_rest_is_not_asked_once_the_answer_is_known() -> None:
    conditions = [
        {"field": "priority", "op": "eq", "value": 8},
        {"field": "priority", "op": "eq", "value": "{{ nope }}"},
    ]
    assert compile_conditions(conditions, "any")(DATA, {}) is True


def test_every_fault_is_named_by_its_path() -> None:
    known = ", ".join(OPS)
    assert check_conditions(
        [
            {"field": "a", "op": "gte", "value": 8},
            {"field": "a", "op": "ge", "value": 8},
            {"op": "eq"},
            "priority >= 8",
            {"field": "", "op": "exists", "value": True, "negate": True},
            {"field": "a", "op": "in", "value": "abc"},
            {"field": "a", "op": "between", "value": [1]},
            {"field": "a", "op": "matches", "value": "("},
            {"field": "a", "op": "starts_with", "value": 1},
            {"field": "a", "op": "gt", "value": None},
            {"field": "{{ 1 + }}", "op": "eq", "value": ["{{ 2 2 }}"]},
            {"field": "a", "op": "in", "value": "{{ variables.list }}"},
            {"field": "a", "op": "empty"},
        ],
        "config.conditions",
    ) == {
        "config.conditions.1.op": f"Unknown op 'ge'. Did you mean 'gte'? Known are: {known}.",
        "config.conditions.2.field": "This field is required.",
        "config.conditions.2.value": "eq needs a value.",
        "config.conditions.3": "Must be an object with field, op and value.",
        "config.conditions.4.field": "Must be a path such as 'customer.tier'.",
        "config.conditions.4.value": "exists takes no value.",
        "config.conditions.4.negate": "Unknown field. Known are: field, op, value.",
        "config.conditions.5.value": "in takes a list.",
        "config.conditions.6.value": "between takes a list of two: the least and the most.",
        "config.conditions.7.value": "The pattern '(' can't be read: missing ): (.",
        "config.conditions.8.value": "starts_with takes a string.",
        "config.conditions.9.value": "gt takes a number or a string.",
        "config.conditions.10.field": "{{ 1 + }}: Unexpected end.",
        "config.conditions.10.value.0": "{{ 2 2 }}: '2' is not expected here.",
    }


@pytest.mark.parametrize("conditions", [None, {}, "a", 1])
def test_conditions_are_a_list(conditions: Any) -> None:
    assert check_conditions(conditions, "conditions") == {
        "conditions": "Must be a list of conditions."
    }


def test_conditions_are_compiled_once() -> None:
    conditions = [{"field": "priority", "op": "gte", "value": 8}]
    assert compile_conditions(conditions) is compile_conditions(list(conditions))
    check = compile_conditions(conditions)
    runs = timeit.repeat(lambda: check(DATA, {}), number=2_000, repeat=7)
    assert min(runs) / 2_000 < 20e-6


def test_a_changed_list_of_conditions_is_compiled_anew() -> None:
    conditions = [{"field": "priority", "op": "gte", "value": 8}]
    assert compile_conditions(conditions)(DATA, {})
    conditions[0]["value"] = 9
    assert not compile_conditions(conditions)(DATA, {})
