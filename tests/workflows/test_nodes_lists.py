"""The node types that work on lists: filter, sort, limit, dedupe, split, aggregate."""

import time

import pytest

from tests.workflows.calls import error_of, faults_of, output_of
from workflows.nodes import items

PEOPLE = [
    {"name": "Bo", "age": 30, "at": {"city": "Rome"}},
    {"name": "ada", "age": 36, "at": {"city": "Bern"}},
    {"name": "Cy", "age": None, "at": {"city": "Rome"}},
    {"name": "Di", "at": {}},
]


def names(people: list[dict]) -> list[str]:
    return [person["name"] for person in people]


@pytest.mark.parametrize(
    ("type", "config"),
    [
        ("filter", {"conditions": [{"field": ".", "op": "exists"}]}),
        ("sort", {}),
        ("limit", {"count": 1}),
        ("dedupe", {}),
        ("aggregate", {"values": {"n": {"op": "count"}}}),
    ],
)
def test_what_is_no_list_is_refused_and_a_list_may_stand_in_items(type, config) -> None:
    error = error_of(type, config, {"a": 1})
    assert (error.code, error.retryable) == ("invalid_input", False)
    assert "its input is an object" in error.message
    assert error_of(type, config, [0] * 100_001).code == "over_limit"
    aside = {**config, "items": "{{ input.list }}"}
    assert output_of(type, aside, {"list": [5]}) in ([5], {"n": 1})
    assert "`items` is null" in error_of(type, aside, {"list": None}).message


@pytest.mark.parametrize(
    ("type", "config", "paths"),
    [
        ("filter", {}, {"conditions"}),
        ("filter", {"conditions": [{"field": "a", "op": "is"}]}, {"conditions.0.op"}),
        (
            "filter",
            {"conditions": [{"field": "a", "op": "matches", "value": "("}]},
            {"conditions.0.value"},
        ),
        ("filter", {"conditions": [], "keep": "none"}, {"conditions", "keep"}),
        ("sort", {"by": []}, {"by"}),
        ("sort", {"by": [{"direction": "asc"}]}, {"by.0.field"}),
        ("sort", {"by": [{"field": "a", "nulls": "middle"}]}, {"by.0.nulls"}),
        ("limit", {}, {"count"}),
        ("limit", {"count": -1, "offset": "x"}, {"count", "offset"}),
        ("dedupe", {"by": "email", "kepe": 1}, {"by", "kepe"}),
        ("split", {"size": 0}, {"size"}),
        ("split", {"include": "others"}, {"include"}),
        ("split", {"field": "a.b", "include": "others"}, {"include"}),
        ("split", {"field": "a", "separator": ","}, {"separator"}),
        ("aggregate", {}, {"values"}),
        ("aggregate", {"values": {"n": {"op": "median"}}}, {"values.n.op"}),
        (
            "aggregate",
            {"group_by": ["a.b"], "values": {"b": {"op": "count"}}},
            {"values.b"},
        ),
        (
            "aggregate",
            {"values": {"n": {"op": "sum", "separator": ","}}},
            {"values.n.separator"},
        ),
    ],
)
def test_a_bad_config_is_a_fault_where_it_stands(type, config, paths) -> None:
    assert faults_of(type, config).keys() == paths


# --- filter ---


def test_filter_keeps_what_matches_or_the_others() -> None:
    config = {"conditions": [{"field": "at.city", "op": "eq", "value": "Rome"}]}
    assert names(output_of("filter", config, PEOPLE)) == ["Bo", "Cy"]
    assert names(output_of("filter", {**config, "keep": "others"}, PEOPLE)) == [
        "ada",
        "Di",
    ]
    assert output_of("filter", config, []) == []


def test_filter_compares_items_with_what_is_around_them() -> None:
    conditions = [
        {"field": ".", "op": "gt", "value": "{{ variables.least }}"},
        {"field": "{{ index % 2 }}", "op": "eq", "value": 0},
    ]
    scope = {"variables": {"least": 1}}
    assert output_of(
        "filter", {"conditions": conditions}, [1, 2, 3, 4, 5], scope=scope
    ) == [3, 5]
    either = {"conditions": conditions, "combine": "any"}
    assert output_of("filter", either, [1, 2, 3, 4], scope=scope) == [1, 2, 3, 4]


def test_filter_stops_when_its_time_is_up(monkeypatch) -> None:
    monkeypatch.setattr(items, "MAX_SECONDS", 0.1)
    conditions = [{"field": ".", "op": "matches", "value": "(a*)*(b|c){1,50}d$"}]
    began = time.process_time()
    error = error_of("filter", {"conditions": conditions}, ["ab" * 20_000] * 100_000)
    assert error.code == "over_limit"
    assert time.process_time() - began < 1


# --- sort ---


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (["name"], ["ada", "Bo", "Cy", "Di"]),
        ([{"field": "name", "case_sensitive": True}], ["Bo", "Cy", "Di", "ada"]),
        (["age"], ["Bo", "ada", "Cy", "Di"]),
        ([{"field": "age", "direction": "desc"}], ["ada", "Bo", "Cy", "Di"]),
        ([{"field": "age", "nulls": "first"}], ["Cy", "Di", "Bo", "ada"]),
        (
            ["at.city", {"field": "name", "direction": "desc"}],
            ["ada", "Cy", "Bo", "Di"],
        ),
    ],
)
def test_sort_by_fields(by, expected) -> None:
    assert names(output_of("sort", {"by": by}, PEOPLE)) == expected


def test_sort_by_the_items_themselves() -> None:
    assert output_of("sort", {}, [3, 1.5, 2]) == [1.5, 2, 3]
    assert output_of("sort", {}, [True, False]) == [False, True]
    assert output_of("sort", {}, []) == []
    natural = {"by": [{"field": ".", "order": "natural"}]}
    files = ["file10", "file2", "File1", "file02b", "file" + "9" * 5_000, "file"]
    assert output_of("sort", natural, files)[:5] == [
        "file",
        "File1",
        "file2",
        "file02b",
        "file10",
    ]


def test_sort_keeps_equal_items_in_their_order() -> None:
    rows = [{"n": n % 2, "at": n} for n in range(100)]
    down = {"by": [{"field": "n", "direction": "desc"}]}
    assert [item["at"] for item in output_of("sort", down, rows)] == [
        *range(1, 100, 2),
        *range(0, 100, 2),
    ]


def test_sort_has_no_order_for_unlike_kinds() -> None:
    for mixed in ([1, "a"], [True, 1], [[1], [2]], [{"a": 1}, {"a": 2}]):
        error = error_of("sort", {}, mixed)
        assert error.code == "invalid_input"
    assert "a number and a text" in error_of("sort", {}, [1, "a"]).message
    assert error_of("sort", {"by": ["{{ input }}"]}, [1]).code == "invalid_config"


# --- limit, dedupe ---


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"count": 2}, "ab"),
        ({"count": 0}, ""),
        ({"count": 99}, "abcd"),
        ({"count": 2, "offset": 3}, "d"),
        ({"count": 2, "offset": 9}, ""),
        ({"count": 2, "from": "last"}, "cd"),
        ({"count": 2, "from": "last", "offset": 1}, "bc"),
        ({"count": 2, "from": "last", "offset": 9}, ""),
        ({"count": 9, "from": "last", "offset": 3}, "a"),
        ({"count": "{{ 1 + 1 }}"}, "ab"),
    ],
)
def test_limit(config, expected) -> None:
    assert output_of("limit", config, list("abcd")) == list(expected)


def test_dedupe_tells_json_values_apart() -> None:
    values = [1, 1.0, True, "1", None, [1], [1.0], {"a": 1, "b": 2}, {"b": 2, "a": 1}]
    assert output_of("dedupe", {}, values) == [
        1,
        True,
        "1",
        None,
        [1],
        {"a": 1, "b": 2},
    ]


def test_dedupe_by_fields() -> None:
    by_city = {"by": ["at.city"]}
    assert names(output_of("dedupe", by_city, PEOPLE)) == ["Bo", "ada", "Di"]
    last = {**by_city, "keep": "last"}
    assert names(output_of("dedupe", last, PEOPLE)) == ["ada", "Cy", "Di"]
    nobody = [{"name": "x"}, {"name": "y"}, {"name": "z", "at": {"city": None}}]
    assert names(output_of("dedupe", by_city, nobody)) == ["x", "z"]
    kept = {**by_city, "missing": "keep"}
    assert names(output_of("dedupe", kept, nobody)) == ["x", "y", "z"]


def test_dedupe_is_quick_whatever_the_values() -> None:
    colliding = [n * (2**61 - 1) for n in range(20_000)]
    began = time.process_time()
    assert len(output_of("dedupe", {}, colliding)) == 20_000
    assert time.process_time() - began < 1
    deep: object = 1
    for _ in range(100):
        deep = [deep]
    assert error_of("dedupe", {}, [deep]).code == "invalid_input"


# --- split ---


@pytest.mark.parametrize(
    ("config", "input", "expected"),
    [
        ({}, " a \n\nb\n", ["a", "b"]),
        ({"trim": False, "keep_empty": True}, " a\n\nb", [" a", "", "b"]),
        ({"separator": ", "}, "a, b,c", ["a", "b,c"]),
        ({"size": 2}, [1, 2, 3], [[1, 2], [3]]),
        ({"separator": ",", "size": 2}, "a,b,c", [["a", "b"], ["c"]]),
        ({}, [1, 2], [1, 2]),
        ({"value": "{{ input.csv }}", "separator": ";"}, {"csv": "1;2"}, ["1", "2"]),
        ({"field": "a.b"}, {"a": {"b": [1, 2]}}, [1, 2]),
        ({"field": "b"}, [{"b": [1]}, {"b": []}, {"b": [2, 3]}], [1, 2, 3]),
        (
            {"field": "b", "include": "others"},
            [{"id": 1, "b": [5, 6]}, {"id": 2, "b": [7]}],
            [{"id": 1, "b": 5}, {"id": 1, "b": 6}, {"id": 2, "b": 7}],
        ),
    ],
)
def test_split(config, input, expected) -> None:
    assert output_of("split", config, input) == expected


def test_split_says_what_it_can_not_take_apart() -> None:
    assert error_of("split", {}, {"a": 1}).code == "invalid_input"
    assert "no list at a.b" in error_of("split", {"field": "a.b"}, {"a": 1}).message
    assert error_of("split", {}, "a\n" * 100_002).code == "over_limit"
    doubled = {"field": "b"}
    assert error_of("split", doubled, [{"b": [0] * 60_000}] * 2).code == "over_limit"


# --- aggregate ---


def test_aggregate_knows_its_operations() -> None:
    values = {
        "count": {"op": "count"},
        "with_age": {"op": "count", "field": "age"},
        "cities": {"op": "count_distinct", "field": "at.city"},
        "sum": {"op": "sum", "field": "age"},
        "avg": {"op": "avg", "field": "age"},
        "min": {"op": "min", "field": "name"},
        "max": {"op": "max", "field": "age"},
        "first": {"op": "first", "field": "age"},
        "last": {"op": "last", "field": "age"},
        "collect": {"op": "collect", "field": "at.city"},
        "join": {"op": "join", "field": "name", "separator": "/"},
        "none": {"op": "avg", "field": "nothing"},
    }
    assert output_of("aggregate", {"values": values}, PEOPLE) == {
        "count": 4,
        "with_age": 2,
        "cities": 2,
        "sum": 66,
        "avg": 33,
        "min": "Bo",
        "max": 36,
        "first": 30,
        "last": 36,
        "collect": ["Rome", "Bern", "Rome"],
        "join": "Bo/ada/Cy/Di",
        "none": None,
    }


def test_aggregate_adds_up_exactly() -> None:
    total = {"values": {"n": {"op": "sum"}}}
    assert output_of("aggregate", total, [0.1] * 10) == {"n": 1.0}
    assert output_of("aggregate", total, [2**53, 1]) == {"n": 2**53 + 1}
    assert output_of("aggregate", total, []) == {"n": 0}


def test_aggregate_groups_by_fields() -> None:
    config = {"group_by": ["at.city", "age"], "values": {"n": {"op": "count"}}}
    assert output_of("aggregate", config, [*PEOPLE, PEOPLE[0]]) == [
        {"city": "Rome", "age": 30, "n": 2},
        {"city": "Bern", "age": 36, "n": 1},
        {"city": "Rome", "age": None, "n": 1},
        {"city": None, "age": None, "n": 1},
    ]
    alike = {"group_by": ["a.id", "b.id"], "values": {"n": {"op": "count"}}}
    assert output_of("aggregate", alike, [{"a": {"id": 1}}]) == [
        {"a.id": 1, "b.id": None, "n": 1}
    ]
    assert output_of("aggregate", config, []) == []


@pytest.mark.parametrize(
    ("op", "values", "code"),
    [
        ("sum", [1, "2"], "invalid_input"),
        ("avg", [True], "invalid_input"),
        ("max", [1, "2"], "invalid_input"),
        ("sum", [1e308, 1e308], "over_limit"),
        ("join", ["x" * 600_000] * 2, "over_limit"),
    ],
)
def test_aggregate_says_what_it_can_not_sum_up(op, values, code) -> None:
    error = error_of("aggregate", {"values": {"out": {"op": op}}}, values)
    assert error.code == code
    assert error.message.startswith("out")
