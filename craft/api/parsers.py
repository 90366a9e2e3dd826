"""What counts as JSON here: an encoding that every store can hold and a depth that no walk has to fear."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 64


class StrictJSONParser(JSONParser):
    """Refuses what JSON's standard does not know (NaN), what PostgreSQL can't store (NUL, lone surrogates), and bottomless nesting."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise RequestDataTooBig
        return read_json(raw)


def read_json(raw: bytes) -> Any:
    """No body is an empty object. Raises ParseError."""
    if not raw.strip():
        return {}
    try:
        data = json.loads(
            raw.decode("utf-8"),
            parse_constant=refuse_constant,
            parse_float=read_float,
        )
    except RecursionError:
        raise ParseError(
            f"The JSON is nested deeper than {MAX_DEPTH} levels."
        ) from None
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8.") from None
    except ValueError as error:
        raise ParseError(f"The body is not valid JSON: {error}.") from None
    check_storable(data)
    return data


def read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ParseError(f"The number {text[:40]} is too large.")
    return number


def refuse_constant(name: str) -> Any:
    raise ParseError(f"The body is not valid JSON: {name} is not a JSON value.")


def check_storable(data: Any) -> None:
    """Raise `ParseError` unless the value is shallow enough and every text in it can be stored."""
    level = [data]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, str):
                check_text(value)
            elif isinstance(value, dict):
                for key in value:
                    check_text(key)
                deeper.extend(value.values())
            elif isinstance(value, list):
                deeper.extend(value)
        if not deeper:
            return
        level = deeper
    raise ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.")


def check_text(text: str) -> None:
    if "\0" in text:
        raise ParseError(
            "A text in the body holds a NUL character, which can't be stored."
        )
    if not text.isascii() and any(
        "\ud800" <= character <= "\udfff" for character in text
    ):
        raise ParseError(
            "A text in the body holds half a surrogate pair, which is no character."
        )
