"""Pages, as either base path asks for them: `limit` and `offset`, `page` and `limit`, or `cursor` and `limit`.

Every list has one order, newest first by id; ids sort by creation. A cursor is the signed id of the last row that was shown, so a walk by cursor
neither misses nor repeats a row that stays, however many come and go meanwhile.
"""

from typing import Any

from django.core import signing
from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from craft.api.envelopes import Page, dialect_of
from craft.api.exceptions import QueryError

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_OFFSET = 1_000_000

PARAMETERS = {True: ("limit", "page", "cursor"), False: ("limit", "offset")}
"""What a list takes where it pages by number, and where it does not."""

DESCRIPTIONS: dict[str, dict[str, Any]] = {
    "limit": {
        "description": "How many at most.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_LIMIT,
            "default": DEFAULT_LIMIT,
        },
    },
    "offset": {
        "description": "How many to skip.",
        "schema": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_OFFSET,
            "default": 0,
        },
    },
    "page": {
        "description": "Which page, from 1. Not together with `cursor`.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_OFFSET // MAX_LIMIT,
            "default": 1,
        },
    },
    "cursor": {
        "description": "The `next_cursor` of the page before: nothing is missed or repeated, however many rows come and go meanwhile.",
        "schema": {"type": "string"},
    },
}

_signer = signing.Signer(salt="craft.cursor")


class ContractPagination(BasePagination):
    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any]:
        self.limit = read_number(
            request, "limit", default=DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT
        )
        rows = queryset.order_by("-pk")
        self.total = (
            view.get_total(queryset) if hasattr(view, "get_total") else queryset.count()
        )
        self.page: int | None = None
        if dialect_of(request).pages_by_number:
            rows = self._from_page_or_cursor(rows, request)
        else:
            self.offset = read_number(
                request, "offset", default=0, lowest=0, highest=MAX_OFFSET
            )
        found = list(rows[self.offset : self.offset + self.limit + 1])
        self.has_more = len(found) > self.limit
        shown = found[: self.limit]
        self.next_cursor = cursor_after(shown[-1].pk) if self.has_more else None
        return shown

    def _from_page_or_cursor(
        self, rows: QuerySet[Any], request: Request
    ) -> QuerySet[Any]:
        cursor = request.query_params.get("cursor")
        if cursor is None:
            self.page = read_number(
                request, "page", default=1, lowest=1, highest=MAX_OFFSET // self.limit
            )
            self.offset = (self.page - 1) * self.limit
            return rows
        if "page" in request.query_params:
            raise QueryError({"page": "Give page or cursor, not both."})
        self.offset = 0
        try:
            return rows.filter(pk__lt=_signer.unsign(cursor))
        except (signing.BadSignature, ValueError):
            raise QueryError({"cursor": "Not a cursor that this API gave."}) from None

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """For the OpenAPI document of the base path that `view.request` calls."""
        return [
            {"name": name, "in": "query", "required": False, **DESCRIPTIONS[name]}
            for name in PARAMETERS[dialect_of(view.request).pages_by_number]
        ]

    def get_paginated_response(self, data: Any) -> Response:
        page = Page(
            data,
            self.total,
            self.limit,
            self.offset,
            self.page,
            self.has_more,
            self.next_cursor,
        )
        return Response(page)


def cursor_after(pk: str | int) -> str:
    return _signer.sign(str(pk))


def read_number(
    request: Request, name: str, *, default: int, lowest: int, highest: int
) -> int:
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if not (
        raw.isascii()
        and raw.isdigit()
        and len(raw) < 12
        and lowest <= int(raw) <= highest
    ):
        raise QueryError({name: f"Must be a whole number from {lowest} to {highest}."})
    return int(raw)
