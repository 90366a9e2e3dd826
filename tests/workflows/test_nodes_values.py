"""The node types datetime, crypto and respond, and transform's queries."""

import hashlib
import hmac
import uuid
from datetime import UTC, datetime

import pytest

from craft.sandbox import Limits
from tests.workflows.calls import CATALOGUE, error_of, faults_of, output_of
from workflows.nodes import outside


@pytest.mark.parametrize(
    ("type", "config", "paths"),
    [
        ("datetime", {}, {"operation"}),
        ("datetime", {"operation": "add"}, {"amount", "unit"}),
        ("datetime", {"operation": "difference", "unit": "days"}, {"other"}),
        ("datetime", {"operation": "now", "unit": "days"}, {"unit"}),
        ("datetime", {"operation": "now", "timezone": "Mars/Base"}, {"timezone"}),
        ("datetime", {"operation": "now", "timezone": "../etc/passwd"}, {"timezone"}),
        ("datetime", {"operation": "format", "format": "%Q"}, {"format"}),
        ("datetime", {"operation": "format", "format": "100%"}, {"format"}),
        ("datetime", {"operation": "round", "unit": "decades"}, {"unit"}),
        ("crypto", {}, {"operation"}),
        ("crypto", {"operation": "encrypt"}, {"operation"}),
        ("crypto", {"operation": "hmac"}, {"secret"}),
        ("crypto", {"operation": "compare", "secret": "x"}, {"with", "secret"}),
        ("crypto", {"operation": "hash", "algorithm": "crc32"}, {"algorithm"}),
        ("crypto", {"operation": "random", "bytes": 10_000}, {"bytes"}),
        ("crypto", {"operation": "uuid", "version": 1}, {"version"}),
        ("crypto", {"operation": "hash", "value": "{{ secrets.key }}"}, {"value"}),
        ("respond", {"status": 99}, {"status"}),
        ("respond", {"headers": {"a b": "x"}}, {"headers.a b"}),
        ("respond", {"headers": {"Set-Cookie": "a=1"}}, {"headers.Set-Cookie"}),
        ("respond", {"headers": {"X-A": "a\r\nX-B: b"}}, {"headers.X-A"}),
        ("transform", {"query": "a[?"}, {"query"}),
        ("transform", {"query": "nope(@)", "set": {"a": 1}}, {"set"}),
        ("transform", {"query": "@", "expression": "x"}, {"expression"}),
    ],
)
def test_a_bad_config_is_a_fault_where_it_stands(type, config, paths) -> None:
    assert faults_of(type, config).keys() == paths


def test_a_secret_may_stand_where_it_is_kept_secret() -> None:
    config = {"operation": "hmac", "secret": "{{ secrets.key }}"}
    assert faults_of("crypto", config) == {}


# --- datetime ---

BERLIN = {"timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("config", "value", "expected"),
    [
        ({"operation": "parse"}, "2027-03-01", "2027-03-01T00:00:00Z"),
        ({"operation": "parse"}, "2027-03-01T10:00:00.5+02:00", "2027-03-01T08:00:00.500Z"),
        ({"operation": "parse"}, 1_800_000_000, "2027-01-15T08:00:00Z"),
        ({"operation": "parse"}, "Mon, 01 Mar 2027 08:00:00 GMT", "2027-03-01T08:00:00Z"),
        ({"operation": "parse", **BERLIN}, "2027-07-01 12:00", "2027-07-01T12:00:00+02:00"),
        ({"operation": "parse", **BERLIN}, "2027-03-28 02:30", "2027-03-28T03:30:00+02:00"),
        ({"operation": "parse", "format": "%d.%m.%Y"}, "01.03.2027", "2027-03-01T00:00:00Z"),
        ({"operation": "convert", **BERLIN}, "2027-01-01T00:00:00Z", "2027-01-01T01:00:00+01:00"),
        ({"operation": "format", "format": "%d.%m.%Y, %H:%M", **BERLIN}, "2027-07-01T10:00:00Z", "01.07.2027, 12:00"),
        ({"operation": "add", "amount": 90, "unit": "minutes"}, "2027-03-01T23:00:00Z", "2027-03-02T00:30:00Z"),
        ({"operation": "add", "amount": 1, "unit": "months"}, "2027-01-31", "2027-02-28T00:00:00Z"),
        ({"operation": "subtract", "amount": 1, "unit": "years"}, "2028-02-29", "2027-02-28T00:00:00Z"),
        ({"operation": "add", "amount": 1, "unit": "days", **BERLIN}, "2027-03-27 12:00", "2027-03-28T12:00:00+02:00"),
        ({"operation": "add", "amount": 24, "unit": "hours", **BERLIN}, "2027-03-27 12:00", "2027-03-28T13:00:00+02:00"),
        ({"operation": "difference", "other": "2027-03-28 12:00", "unit": "days", **BERLIN}, "2027-03-27 12:00", 1),
        ({"operation": "difference", "other": "2027-03-28 12:00", "unit": "hours", **BERLIN}, "2027-03-27 12:00", 23),
        ({"operation": "difference", "other": "2027-03-01", "unit": "months"}, "2025-03-02", 23),
        ({"operation": "difference", "other": "2027-03-01", "unit": "weeks"}, "2027-03-08", -1),
        ({"operation": "difference", "other": "2027-03-01T12:00:00Z", "unit": "days"}, "2027-03-01", 0.5),
        ({"operation": "round", "unit": "weeks"}, "2027-03-04T09:00:00Z", "2027-03-01T00:00:00Z"),
        ({"operation": "round", "unit": "months", "direction": "up"}, "2027-12-04", "2028-01-01T00:00:00Z"),
        ({"operation": "round", "unit": "months", "direction": "up"}, "2027-12-01", "2027-12-01T00:00:00Z"),
        ({"operation": "round", "unit": "hours", "direction": "nearest"}, "2027-12-04T10:31:00Z", "2027-12-04T11:00:00Z"),
        ({"operation": "round", "unit": "days", **BERLIN}, "2027-03-28T12:00:00Z", "2027-03-28T00:00:00+01:00"),
        ({"operation": "round", "unit": "milliseconds"}, "2027-03-01T00:00:00.123456Z", "2027-03-01T00:00:00.123Z"),
    ],
)  # fmt: skip
def test_datetime(config, value, expected) -> None:
    assert output_of("datetime", config, value) == expected


def test_datetime_now_is_when_the_node_was_reached() -> None:
    reached = datetime(2027, 3, 1, 8, tzinfo=UTC)
    config = {"operation": "now", **BERLIN}
    assert output_of("datetime", config, None, started_at=reached) == (
        "2027-03-01T09:00:00+01:00"
    )


@pytest.mark.parametrize(
    ("config", "value", "code"),
    [
        ({"operation": "parse"}, "tomorrow", "invalid_input"),
        ({"operation": "parse"}, "9" * 5_000, "invalid_input"),
        ({"operation": "parse"}, 1e300, "invalid_input"),
        ({"operation": "parse"}, True, "invalid_input"),
        ({"operation": "parse"}, None, "invalid_input"),
        ({"operation": "parse", "format": "%d.%m.%Y"}, "2027-03-01", "invalid_input"),
        (
            {"operation": "add", "amount": 9_999, "unit": "years"},
            "2027-03-01",
            "invalid_input",
        ),
        (
            {"operation": "add", "amount": 0.5, "unit": "months"},
            "2027-03-01",
            "invalid_config",
        ),
        (
            {"operation": "round", "unit": "years", "direction": "up"},
            "9999-06-01",
            "invalid_input",
        ),
        ({"operation": "now", "timezone": "{{ input }}"}, "Mars", "invalid_config"),
    ],
)
def test_datetime_says_what_it_can_not_reckon(config, value, code) -> None:
    assert error_of("datetime", config, value).code == code


# --- crypto ---


def crypto(operation: str, value: object = None, **config: object) -> object:
    return output_of("crypto", {"operation": operation, **config}, value)


def test_crypto_hashes_and_signs_as_everybody_does() -> None:
    assert crypto("hash", "abc") == hashlib.sha256(b"abc").hexdigest()
    assert crypto("hash", "", algorithm="md5") == "d41d8cd98f00b204e9800998ecf8427e"
    assert (
        crypto("hash", {"a": "ü"}) == hashlib.sha256('{"a":"ü"}'.encode()).hexdigest()
    )
    mac = hmac.digest(b"\x01\x02", b"abc", "sha512").hex()
    assert (
        crypto("hmac", "abc", secret="0102", secret_encoding="hex", algorithm="sha512")
        == mac
    )
    for algorithm in CATALOGUE["crypto"].config_schema["properties"]["algorithm"][
        "enum"
    ]:
        assert crypto("hmac", "abc", secret="k", algorithm=algorithm)


def test_crypto_encodes_and_decodes() -> None:
    for encoding in ("hex", "base64", "base64url"):
        text = "Grüße?>~"
        encoded = crypto("encode", text, encoding=encoding)
        assert crypto("decode", encoded, encoding=encoding) == text
    assert crypto("encode", "??>", encoding="base64url") == "Pz8-"
    assert crypto("decode", " Pz8+\n", encoding="base64") == "??>"
    for value, encoding in (
        ("xyz", "hex"),
        ("a", "base64"),
        ("é", "base64"),
        ("ff", "hex"),
    ):
        config = {"operation": "decode", "encoding": encoding}
        assert error_of("crypto", config, value).code == "invalid_input"


def test_crypto_compares() -> None:
    assert crypto("compare", "secret", **{"with": "secret"}) is True
    assert crypto("compare", "secret", **{"with": "Secret"}) is False
    assert crypto("compare", "ü\ud800", **{"with": "ü"}) is False
    config = {"operation": "compare", "with": "1"}
    assert error_of("crypto", config, 1).code == "invalid_input"


def test_crypto_draws_lots() -> None:
    assert len(crypto("random", bytes=16)) == 32
    assert crypto("random") != crypto("random")
    assert uuid.UUID(crypto("uuid")).version == 4
    first, second = (uuid.UUID(crypto("uuid", version=7)) for _ in range(2))
    assert first.version == second.version == 7
    assert first.variant == uuid.RFC_4122
    assert first != second
    assert abs((first.int >> 80) / 1000 - datetime.now(UTC).timestamp()) < 60


def test_crypto_is_bounded() -> None:
    config = {"operation": "hash"}
    assert error_of("crypto", config, "x" * 5_000_001).code == "over_limit"
    empty = {"operation": "hmac", "secret": "{{ input }}"}
    assert error_of("crypto", empty, "").code == "invalid_config"


# --- respond ---


def test_respond_is_what_is_answered() -> None:
    assert output_of("respond", {}, {"a": 1}) == {
        "status": 200,
        "headers": {},
        "body": {"a": 1},
    }
    config = {"status": 204, "headers": {"X-A": "{{ input }}"}, "body": None}
    assert output_of("respond", config, "b") == {
        "status": 204,
        "headers": {"X-A": "b"},
        "body": None,
    }


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=1", "Ω", 5, "x" * 9_000])
def test_respond_lets_no_value_break_out_of_its_header(value) -> None:
    config = {"headers": {"X-A": "{{ input }}"}}
    assert error_of("respond", config, value).code == "invalid_config"


# --- transform's queries ---


def test_transform_by_a_query() -> None:
    config = {"query": "orders[?total > `10`].{id: id, sum: total} | [0]"}
    value = {"orders": [{"id": 1, "total": 5}, {"id": 2, "total": 50}]}
    assert output_of("transform", config, value) == {"id": 2, "sum": 50}
    as_text = {"query": "orders[].id", "format": "text"}
    assert output_of("transform", as_text, value) == "1\n2"
    assert output_of("transform", {"query": "none"}, value) is None


def test_a_query_can_not_take_for_ever(monkeypatch) -> None:
    monkeypatch.setattr(outside, "LIMITS", Limits(seconds=0.5))
    doubling = "|".join(["[@,@][]"] * 60)
    assert faults_of("transform", {"query": doubling}) == {}
    error = error_of("transform", {"query": doubling}, [1])
    assert error.code == "over_limit"
    failing = error_of("transform", {"query": "sum(@)"}, ["a"])
    assert failing.code == "invalid_input"
