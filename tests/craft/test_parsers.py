"""What counts as JSON."""

import io
import json

import pytest
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError

from craft.api.parsers import MAX_DEPTH, StrictJSONParser


def parse(body: bytes):
    return StrictJSONParser().parse(io.BytesIO(body))


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        "text",
        0.5,
        None,
        {"deep": [{"er": ["ä", "😀"]}]},
        10**30,
        {"": "an empty key"},
    ],
)
def test_json_is_read_as_it_was_written(value):
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_no_body_is_an_empty_object(body):
    assert parse(body) == {}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1,}', "not valid JSON"),
        (b"NaN", "NaN is not a JSON value"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON value"),
        (b"[1e999]", "too large"),
        (b'"\xff"', "not UTF-8"),
        (b'"a\\u0000b"', "NUL"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b"1" * 5000, "not valid JSON"),
    ],
)
def test_what_no_store_can_hold_is_refused(body, sentence):
    with pytest.raises(ParseError, match=sentence):
        parse(body)


def test_nesting_has_a_floor():
    parse(nested(MAX_DEPTH - 1))
    for levels in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(ParseError, match="nested deeper"):
            parse(nested(levels))


def test_a_body_has_a_size(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert parse(b'"12345678"') == "12345678"
    with pytest.raises(RequestDataTooBig):
        parse(b'"123456789"')


def test_a_body_that_is_too_large_is_a_413(api, db, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = api().post("/api/v1/auth/login", {"email": "a" * 200, "password": "b"})
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
