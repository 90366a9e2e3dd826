"""The node types that read, write and check: template, parse, validate."""

import base64
import hashlib
import hmac
import json
import time

import pytest

from tests.workflows.calls import (
    CATALOGUE,
    error_of,
    faults_of,
    handles_of,
    output_of,
)
from workflows.engine.expressions import ExpressionError
from workflows.nodes import readers, schemas


@pytest.mark.parametrize(
    ("type", "config", "paths"),
    [
        ("template", {}, {"template"}),
        ("template", {"template": "{{ input. }}"}, {"template"}),
        ("template", {"template": "{{ secrets.key }}"}, {"template"}),
        ("template", {"template": "{{ nodes.none.a }}"}, {"template"}),
        ("template", {"template": "x", "format": "pdf"}, {"format"}),
        ("template", {"template": "x", "separator": ","}, {"separator"}),
        ("parse", {}, {"format"}),
        ("parse", {"format": "docx"}, {"format"}),
        ("parse", {"format": "json", "delimiter": ";"}, {"delimiter"}),
        ("parse", {"format": "csv", "delimiter": ";;"}, {"delimiter"}),
        ("parse", {"format": "html"}, {"select"}),
        ("parse", {"format": "html", "select": {"a": "p["}}, {"select.a"}),
        (
            "parse",
            {"format": "html", "select": {"a": {"selector": "::::"}}},
            {"select.a.selector"},
        ),
        (
            "parse",
            {
                "format": "html",
                "select": {"a": {"selector": "p", "attribute": "x", "as": "html"}},
            },
            {"select.a.as"},
        ),
        ("parse", {"format": "text"}, {"pattern"}),
        ("parse", {"format": "text", "pattern": "(?=a)"}, {"pattern"}),
        ("parse", {"format": "text", "pattern": "((a{99}){99}){9}"}, {"pattern"}),
        ("validate", {}, {"schema"}),
        ("validate", {"schema": {"type": "nonsense"}}, {"schema"}),
        ("validate", {"schema": {"$ref": "#"}}, {"schema"}),
        ("validate", {"schema": True, "on_invalid": "{{ input.x }}"}, {"on_invalid"}),
        ("validate", {"schema": True, "each": "{{ input.x }}"}, {"each"}),
    ],
)
def test_a_bad_config_is_a_fault_where_it_stands(type, config, paths) -> None:
    assert faults_of(type, config).keys() == paths


# --- template ---

EVIL = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) *b*"


def test_template_writes_values_as_text() -> None:
    template = {"template": "{{ input.a }} and {{ input.b }}: {{ input.c + 1 }}"}
    value = {"a": EVIL, "b": [1, {"x": None}], "c": 2}
    assert output_of("template", template, value) == f'{EVIL} and [1,{{"x":null}}]: 3'
    assert output_of("template", {"template": "plain"}, value) == "plain"
    assert output_of("template", {"template": "{{ input.c }}"}, value) == "2"
    with pytest.raises(ExpressionError):
        output_of("template", {"template": "{{ input.d | int }}"}, {"d": "x"})


def test_template_escapes_values_in_html_but_not_the_template() -> None:
    config = {
        "template": "<p title=\"{{ input }}\">{{ 'a' ~ '<' }}</p>",
        "format": "html",
    }
    written = output_of("template", config, '"><script>')
    assert written == '<p title="&quot;&gt;&lt;script&gt;">a&lt;</p>'


def test_template_makes_html_of_markdown_that_values_can_not_change() -> None:
    config = {"template": "# Hi {{ input }}\n\n- **ok**\n", "format": "markdown"}
    written = output_of("template", config, EVIL)
    assert written == (
        "<h1>Hi &lt;img src=x onerror=alert(1)&gt; [x](javascript:alert(1)) *b*</h1>\n"
        "<ul>\n<li><strong>ok</strong></li>\n</ul>\n"
    )


def test_template_is_written_for_each_item() -> None:
    config = {
        "template": "{{ index + 1 }}. {{ item.name }} ({{ input.unit }})",
        "items": "{{ input.rows }}",
        "separator": "; ",
    }
    value = {"unit": "kg", "rows": [{"name": "a"}, {"name": "b"}]}
    assert output_of("template", config, value) == "1. a (kg); 2. b (kg)"
    long = {"template": "x" * 50_000 + "{{ index }}", "items": "{{ input }}"}
    assert error_of("template", long, list(range(100))).code == "over_limit"


def test_what_works_outside_does_not_run_on_the_loop() -> None:
    assert CATALOGUE["template"].suspends({"template": "", "format": "markdown"})
    assert CATALOGUE["parse"].suspends({"format": "{{ input.format }}"})
    assert not CATALOGUE["parse"].suspends({"format": "json"})


# --- parse ---


def parsed(format: str, text: str, **config: object) -> object:
    return output_of("parse", {"format": format, **config}, text)


def parse_error(format: str, text: object, **config: object) -> str:
    return error_of("parse", {"format": format, **config}, text).code


def test_parse_json() -> None:
    assert parsed("json", '{"a": [1.5, null]}') == {"a": [1.5, None]}
    assert parse_error("json", "{'a': 1}") == "invalid_json"
    assert parse_error("json", "NaN") == "invalid_json"
    assert parse_error("json", {"a": 1}) == "invalid_input"
    assert parse_error("json", "1" * 10_000_001) == "over_limit"


def test_parse_csv(monkeypatch) -> None:
    text = '\ufeffname, ,note\r\nAda,1,"a ""b"",\nc"\r\n\r\nBo,2\r\n'
    assert parsed("csv", text) == [
        {"name": "Ada", "column2": "1", "note": 'a "b",\nc'},
        {"name": "Bo", "column2": "2", "note": ""},
    ]
    assert parsed("csv", "a;b\n1;2", delimiter=";", header=False) == [
        ["a", "b"],
        ["1", "2"],
    ]
    assert parsed("csv", "") == []
    assert parse_error("csv", "a\n1,2") == "invalid_input"
    assert parse_error("csv", "a,a\n1,2") == "invalid_input"
    assert parse_error("csv", 'a\n"' + "x" * 200_000) == "invalid_input"
    monkeypatch.setattr(readers, "MAX_ITEMS", 100)
    assert parse_error("csv", "a\n" * 110) == "over_limit"


def test_parse_xml() -> None:
    text = """<?xml version="1.0"?><o:order xmlns:o="urn:o" id="7">
      <line>a</line><line n="2">b</line><line/><note>x<b>y</b>z</note></o:order>"""
    assert parsed("xml", text) == {
        "order": {
            "@id": "7",
            "line": ["a", {"@n": "2", "#text": "b"}, None],
            "note": {"b": "y", "#text": "xz"},
        }
    }


@pytest.mark.parametrize(
    "text",
    [
        "<a>",
        "",
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        "<a>" * 50_000 + "</a>" * 50_000,
    ],
)
def test_parse_refuses_xml_that_is_broken_or_a_bomb(text) -> None:
    assert parse_error("xml", text) == "invalid_input"


def test_parse_yaml() -> None:
    text = "date: 2026-01-01\non: [1, .5, yes, ~, true]\n1: &x {a: b}\ncopy: *x\ntime: 12:30\nzip: [007, 0, -5, 0x1f, 1.5e3, null, 1.]\n"
    assert parsed("yaml", text) == {
        "date": "2026-01-01",
        "on": [1, 0.5, "yes", None, True],
        "1": {"a": "b"},
        "time": "12:30",
        "zip": ["007", 0, -5, 31, 1500, None, 1.0],
        "copy": {"a": "b"},
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']",
        "a: .nan",
        "a: &a [*a]",
        "? [a]\n: b",
        "a: b: c",
        "a: !!binary aGk=",
    ],
)
def test_parse_refuses_yaml_that_is_no_json(text) -> None:
    assert parse_error("yaml", text) == "invalid_input"


def test_parse_html_by_selectors() -> None:
    page = """<title>Shop</title><table class=p><tr><td>a <b>1</b><td>9.50
      <tr><td>c<td>12</table><a href="/x">x</a><a>y</a><script>evil()</script>"""
    select = {
        "title": "title",
        "names": {"selector": "table.p td:first-child", "all": True},
        "links": {"selector": "a", "attribute": "href", "all": True},
        "bold": {"selector": "b", "as": "html"},
        "none": "h1",
    }
    assert parsed("html", page, select=select) == {
        "title": "Shop",
        "names": ["a 1", "c"],
        "links": ["/x", None],
        "bold": "<b>1</b>",
        "none": None,
    }


def test_parse_markdown() -> None:
    text = "# Hi *you*\n\n<script>\n\n[a](https://a.example) [b](javascript:b)\n\n```py\n1\n```\n"
    read = parsed("markdown", text)
    assert "<script" not in read["html"]
    assert "javascript:" not in json.dumps(read["links"])
    assert "<em>you</em>" in read["html"]
    assert read["headings"] == [{"level": 1, "text": "Hi you"}]
    assert read["links"] == [{"url": "https://a.example", "text": "a"}]
    assert read["code"] == [{"language": "py", "code": "1\n"}]


@pytest.mark.parametrize(
    ("pattern", "takes_all", "expected"),
    [
        (r"\d+", False, "12"),
        (r"\d+", True, ["12", "7"]),
        (r"(\w+)=\d+", True, ["a", "b"]),
        (r"(\w+)=(\d+)", False, ["a", "12"]),
        (r"(?P<key>\w+)=(?P<n>\d+)", True, [{"key": "a", "n": "12"}, {"key": "b", "n": "7"}]),
        (r"(x)?=", False, None),
        ("nothing", False, None),
        ("nothing", True, []),
    ],
)  # fmt: skip
def test_parse_text_by_a_pattern(pattern, takes_all, expected) -> None:
    assert parsed("text", "a=12 b=7", pattern=pattern, all=takes_all) == expected


def test_no_pattern_takes_long() -> None:
    began = time.process_time()
    assert parsed("text", "a" * 50_000 + "!", pattern="(a+)+$") is None
    assert parse_error("text", "a" * 5_000_000, pattern="(a{1,50}b?){1,20}c") in (
        "over_limit",
        "invalid_config",
    )
    assert time.process_time() - began < 1


def test_parse_form() -> None:
    assert parsed("form", "a=1&b=x+y%21&a=2&c=") == {
        "a": ["1", "2"],
        "b": "x y!",
        "c": "",
    }
    assert parse_error("form", "a&" * 2_000) == "over_limit"


def signed(header: dict, payload: object) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (header, payload)
    ]
    mac = hmac.digest(b"key", ".".join(parts).encode(), hashlib.sha256)
    return ".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=").decode()])


def test_parse_a_token_without_trust() -> None:
    token = signed({"alg": "HS256", "typ": "JWT"}, {"sub": "ada", "exp": 1})
    assert parsed("jwt", f"Bearer {token}") == {
        "header": {"alg": "HS256", "typ": "JWT"},
        "payload": {"sub": "ada", "exp": 1},
        "verified": False,
    }
    for text in ("", "a.b.c", token[:40], signed({"alg": "HS256"}, [1]), "a" * 30_000):
        assert parse_error("jwt", text) == "invalid_input"


# --- validate ---

ORDER = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "total": {"minimum": 0}},
    "required": ["id"],
}
GOOD, BAD = {"id": 1, "total": 5}, {"id": "x", "total": -1}


def test_validate_lets_through_what_fits() -> None:
    assert output_of("validate", {"schema": ORDER}, GOOD) == GOOD
    aside = {"schema": ORDER, "value": "{{ input.order }}"}
    assert output_of("validate", aside, {"order": GOOD}) == GOOD
    branch = {"schema": ORDER, "on_invalid": "branch"}
    assert handles_of("validate", branch, GOOD) == ("main",)


def test_validate_names_all_faults_at_once() -> None:
    error = error_of("validate", {"schema": ORDER}, BAD)
    assert (error.code, error.retryable) == ("invalid_data", False)
    assert "id: 'x' is not of type 'integer'" in error.message
    assert "total: -1 is less than" in error.message
    many = {"items": {"type": "integer"}}
    branch = {"schema": many, "on_invalid": "branch"}
    assert len(output_of("validate", branch, ["x"] * 50)["faults"]) == 50
    assert error_of("validate", {"schema": many}, ["x"] * 50).message.endswith("more.")


def test_validate_parts_the_items_of_a_list() -> None:
    config = {"schema": ORDER, "each": True}
    assert output_of("validate", config, [GOOD, GOOD]) == [GOOD, GOOD]
    assert "1.id: 'x'" in error_of("validate", config, [GOOD, BAD]).message
    branch = {**config, "on_invalid": "branch"}
    parted = output_of("validate", branch, [GOOD, BAD])
    assert handles_of("validate", branch, [GOOD, BAD]) == ("invalid",)
    assert parted["valid"] == [GOOD]
    (invalid,) = parted["invalid"]
    assert (invalid["index"], invalid["value"]) == (1, BAD)
    assert {fault["path"] for fault in invalid["faults"]} == {"id", "total"}
    assert error_of("validate", config, GOOD).code == "invalid_input"


def test_validate_has_the_handle_that_its_config_asks_for() -> None:
    node = CATALOGUE["validate"]
    assert node.handles_for({"schema": True}) == ("main",)
    assert node.handles_for({"schema": True, "on_invalid": "branch"}) == (
        "main",
        "invalid",
    )


def test_validate_can_not_take_for_ever(monkeypatch) -> None:
    monkeypatch.setattr(schemas, "MAX_STEPS", 5_000)
    slow = {"allOf": [{"not": {"const": n}} for n in range(500)]}
    config = {"schema": slow, "each": True}
    assert "takes too long" in error_of("validate", config, [-1] * 100).message
