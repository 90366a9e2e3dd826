"""Answers that come in pages: where the next one is, and when it is enough."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from jsonschema import Draft202012Validator

from craft import egress
from workflows.nodes.base import NodeError
from workflows.nodes.resolved import kind_of

MAX_PAGES = 100
MAX_ITEMS = 10_000
LINK = re.compile(r"<(?P<url>[^<>]*)>(?P<rest>[^<]*)")
NEXT = re.compile(r";\s*rel\s*=\s*\"?(?:[^\";,]*\s)?next(?![^\s\";,])", re.IGNORECASE)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "by": {
            "enum": ["link", "url", "page", "cursor"],
            "description": 'link: the header `Link: <…>; rel="next"`. url: the next page\'s URL stands in the body. page: pages have numbers. cursor: a word in the body leads to the next page.',
        },
        "items": {
            "type": "string",
            "description": "Where in the body the list of items is, such as `data.orders`; without it the body is the list.",
        },
        "next": {
            "type": "string",
            "minLength": 1,
            "description": "For url and cursor: where in the body the next one stands, such as `meta.next_cursor`.",
        },
        "parameter": {
            "type": "string",
            "minLength": 1,
            "description": "For page and cursor: the query parameter that carries it. By default `page` or `cursor`.",
        },
        "start": {
            "type": "integer",
            "minimum": 0,
            "default": 1,
            "description": "For page: the first page's number.",
        },
        "max_pages": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_PAGES,
            "default": 10,
            "description": "How many pages to ask for at most.",
        },
        "max_items": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_ITEMS,
            "default": 1_000,
            "description": "How many items to take at most.",
        },
    },
    "required": ["by"],
    "additionalProperties": False,
    "description": "Asks for page after page, and answers with the items of all, in their order. Every page has to be on the same host.",
}


_VALIDATOR: Any = Draft202012Validator(SCHEMA)


@dataclass(frozen=True)
class Page:
    """What to ask for: a URL, and what is added to its query."""

    url: str
    query: dict[str, Any]


def check_pages(pagination: dict[str, Any]) -> dict[str, str]:
    if pagination["by"] in {"url", "cursor"} and "next" not in pagination:
        return {
            "pagination.next": "This field is required: where in the body the next one stands."
        }
    return {}


def checked(pagination: dict[str, Any]) -> dict[str, Any]:
    """As it was resolved: an expression in it may have given anything."""
    for error in _VALIDATOR.iter_errors(pagination):
        where = ".".join(["pagination", *map(str, error.absolute_path)])
        raise NodeError(f"{where} can't be used.", code="invalid_config")
    for where, sentence in check_pages(pagination).items():
        raise NodeError(f"{where}: {sentence}", code="invalid_config")
    return pagination


def first_page(pagination: dict[str, Any], url: str) -> Page:
    if pagination["by"] == "page":
        return Page(
            url, {pagination.get("parameter", "page"): pagination.get("start", 1)}
        )
    return Page(url, {})


def items_of(pagination: dict[str, Any], body: Any) -> list[Any]:
    path = pagination.get("items", "")
    found = at(body, path)
    if found is None:
        return []
    if not isinstance(found, list):
        raise NodeError(
            f"{f'What stands at {path} of the body' if path else 'The body'} is no list of items; it is {kind_of(found)}.",
            code="invalid_page",
        )
    return found


def next_page(
    pagination: dict[str, Any],
    first: Page,
    current: Page,
    answer: egress.Fetched,
    body: Any,
    items: list[Any],
) -> Page | None:
    """None after the last one. Raises NodeError for one that leads to another host, which must not get to see the credential."""
    found = WAYS[pagination["by"]](pagination, first, current, answer, body, items)
    if found is not None and _origin(found.url) != _origin(first.url):
        raise NodeError(
            "The next page is on another host, where it is not asked for.",
            code="invalid_page",
        )
    return found


def at(body: Any, path: str) -> Any:
    """What stands there, or None."""
    for name in filter(None, path.split(".")):
        if isinstance(body, dict):
            body = body.get(name)
        elif isinstance(body, list) and name.isdecimal() and int(name) < len(body):
            body = body[int(name)]
        else:
            return None
    return body


def _by_link(
    pagination: Any,
    first: Page,
    current: Page,
    answer: egress.Fetched,
    body: Any,
    items: Any,
) -> Page | None:
    for link in LINK.finditer(answer.headers.get("link", "")):
        if NEXT.search(link["rest"]):
            return _onward(answer, link["url"])
    return None


def _by_url(
    pagination: Any,
    first: Page,
    current: Page,
    answer: egress.Fetched,
    body: Any,
    items: Any,
) -> Page | None:
    url = at(body, pagination["next"])
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        raise NodeError(
            f"What stands at {pagination['next']} of the body is no URL; it is {kind_of(url)}.",
            code="invalid_page",
        )
    return _onward(answer, url)


def _onward(answer: egress.Fetched, url: str) -> Page:
    try:
        return Page(urljoin(answer.url, url), {})
    except ValueError:
        raise NodeError(
            "What leads to the next page is no URL.", code="invalid_page"
        ) from None


def _by_page(
    pagination: Any,
    first: Page,
    current: Page,
    answer: Any,
    body: Any,
    items: list[Any],
) -> Page | None:
    """Until there is an empty one."""
    if not items:
        return None
    ((parameter, number),) = current.query.items()
    return Page(first.url, {parameter: number + 1})


def _by_cursor(
    pagination: Any, first: Page, current: Page, answer: Any, body: Any, items: Any
) -> Page | None:
    cursor = at(body, pagination["next"])
    if cursor is None or cursor == "" or cursor is False:
        return None
    if isinstance(cursor, dict | list):
        raise NodeError(
            f"What stands at {pagination['next']} of the body is no cursor; it is {kind_of(cursor)}.",
            code="invalid_page",
        )
    return Page(first.url, {pagination.get("parameter", "cursor"): cursor})


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        usual = {"https": 443, "http": 80}.get(parts.scheme)
        return parts.scheme, parts.hostname, parts.port or usual
    except ValueError:
        raise NodeError(
            "What leads to the next page is no URL.", code="invalid_page"
        ) from None


WAYS: dict[str, Callable[..., Page | None]] = {
    "link": _by_link,
    "url": _by_url,
    "page": _by_page,
    "cursor": _by_cursor,
}
