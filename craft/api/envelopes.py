"""How one set of resources is spoken at two base paths.

A view writes plain DRF: `Response(serializer.data)`, `raise NotFound`, a page from the paginator. What it hands back is one of five things, and a
`Dialect` says how each looks at the base path that was called:

    a resource       the data of a serializer that names its `Meta.resource`
    a page or list   of such resources
    Deleted          the row is gone
    an action's      any other data: `{"response": …, "execution_id": …}`
    result
    a Problem        made from every exception by `craft.api.exceptions`

`/api/v1` speaks the named envelope (`{"agent": {…}}`), `/v1` the data envelope (`{"success": true, "data": {…}}`), and `/v1/systems` and `/v1/jobs` the
latter with lower-case error codes. Nothing outside `craft/api` needs to know which one is being spoken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict, ReturnList

if TYPE_CHECKING:
    from django.http import HttpRequest


@dataclass(frozen=True)
class Resource:
    """What a resource is called: `agent`, `agents`, and `Agent` in a sentence."""

    name: str
    plural: str
    label: str

    @classmethod
    def of(cls, serializer: Any) -> Resource | None:
        """The resource that a serializer (or the child of a list's) describes, if it describes one."""
        meta = getattr(getattr(serializer, "child", serializer), "Meta", None)
        name = getattr(meta, "resource", None)
        if not name:
            return None
        label = getattr(meta, "label", name.replace("_", " ").capitalize())
        return cls(
            name=name, plural=getattr(meta, "resources", f"{name}s"), label=label
        )


@dataclass(frozen=True)
class Page:
    """One page of a list, with all that either base path says about it."""

    items: Any
    total: int
    limit: int
    offset: int
    page: int | None
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class Deleted:
    id: str | int
    label: str


@dataclass(frozen=True)
class Problem:
    """An error: `details` maps a dotted path to one sentence."""

    status: int
    message: str
    request_id: str
    details: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    """Where it has one of its own, and not its status's."""


class FlatResponse(Response):
    """Document 000's answer to a create: at `/v1` it stands without an envelope and with status 200."""


class Dialect:
    """One base path's way of saying things."""

    name: ClassVar[str]
    prefix: ClassVar[str]
    codes: ClassVar[dict[int, str]]
    key_prefix: ClassVar[str]
    flat_creates: ClassVar[bool] = False
    invalid_status: ClassVar[int] = 400
    runs_inline: ClassVar[bool]
    """Whether an `execute` that does not say waits for the end."""
    pages_by_number: ClassVar[bool]
    """Whether a list is paged by `page` and `cursor`, or by `offset`."""

    def code_for(self, status: int) -> str:
        return self.codes.get(status) or self.codes[500 if status >= 500 else 400]

    def code_of(self, problem: Problem) -> str:
        return problem.code.upper() or self.code_for(problem.status)

    def one(self, resource: Resource, data: Any) -> dict[str, Any]:
        raise NotImplementedError

    def many(self, resource: Resource | None, page: Page) -> dict[str, Any]:
        raise NotImplementedError

    def deleted(self, deleted: Deleted) -> dict[str, Any]:
        raise NotImplementedError

    def result(self, data: Any) -> Any:
        raise NotImplementedError

    def problem(self, problem: Problem) -> dict[str, Any]:
        raise NotImplementedError


class NamedEnvelope(Dialect):
    """Documents 001 and 004."""

    name = "named"
    prefix = "/api/v1"
    key_prefix = "cv"
    runs_inline = True
    pages_by_number = False
    codes = {
        400: "INVALID_REQUEST",
        401: "UNAUTHORIZED",
        402: "INSUFFICIENT_CREDITS",
        403: "FORBIDDEN",
        404: "NOT_FOUND",
        405: "METHOD_NOT_ALLOWED",
        409: "CONFLICT",
        413: "PAYLOAD_TOO_LARGE",
        415: "UNSUPPORTED_MEDIA_TYPE",
        429: "RATE_LIMIT_EXCEEDED",
        500: "INTERNAL_ERROR",
        502: "UPSTREAM_ERROR",
        503: "UNAVAILABLE",
        504: "TIMEOUT",
    }

    def one(self, resource: Resource, data: Any) -> dict[str, Any]:
        return {resource.name: data}

    def many(self, resource: Resource | None, page: Page) -> dict[str, Any]:
        return {
            resource.plural if resource else "results": page.items,
            "total": page.total,
            "limit": page.limit,
            "offset": page.offset,
            "has_more": page.has_more,
        }

    def deleted(self, deleted: Deleted) -> dict[str, Any]:
        return {"success": True, "message": f"{deleted.label} deleted"}

    def result(self, data: Any) -> Any:
        return data

    def problem(self, problem: Problem) -> dict[str, Any]:
        return {
            "error": True,
            "message": problem.message,
            "code": self.code_of(problem),
            "details": problem.details,
            "request_id": problem.request_id,
        }


class DataEnvelope(Dialect):
    """Documents 000 and 003."""

    name = "data"
    prefix = "/v1"
    key_prefix = "ak"
    flat_creates = True
    runs_inline = False
    pages_by_number = True
    codes = {**NamedEnvelope.codes, 400: "VALIDATION_ERROR", 429: "RATE_LIMITED"}

    def one(self, resource: Resource, data: Any) -> dict[str, Any]:
        return {"success": True, "data": data}

    def many(self, resource: Resource | None, page: Page) -> dict[str, Any]:
        return {
            "success": True,
            "data": page.items,
            "meta": {
                "total": page.total,
                "limit": page.limit,
                "page": page.page,
                "has_more": page.has_more,
                "cursor": page.next_cursor,
                "next_cursor": page.next_cursor,
            },
        }

    def deleted(self, deleted: Deleted) -> dict[str, Any]:
        return {"success": True, "data": {"id": deleted.id, "deleted": True}}

    def result(self, data: Any) -> Any:
        return {"success": True, "data": data}

    def problem(self, problem: Problem) -> dict[str, Any]:
        return {
            "success": False,
            "error": {
                "code": self.code_of(problem),
                "message": problem.message,
                "details": problem.details,
                "request_id": problem.request_id,
            },
        }


class ComplianceEnvelope(DataEnvelope):
    """Document 002: its own codes, in lower case, and 422 for what is valid JSON but breaks a rule."""

    name = "compliance"
    invalid_status = 422
    codes = {
        **{status: code.lower() for status, code in NamedEnvelope.codes.items()},
        422: "unprocessable",
    }

    def code_of(self, problem: Problem) -> str:
        return problem.code or self.code_for(problem.status)


NAMED = NamedEnvelope()
DATA = DataEnvelope()
COMPLIANCE = ComplianceEnvelope()


def dialect_for(path: str) -> Dialect:
    """The dialect of a path, whether or not anything is served there."""
    if path.startswith("/api/v1/") or path == "/api/v1":
        return NAMED
    if path.startswith(("/v1/systems", "/v1/jobs")):
        return COMPLIANCE
    return DATA


def dialect_of(request: HttpRequest) -> Dialect:
    return dialect_for(request.path)


def is_api_path(path: str) -> bool:
    return path.startswith(("/api/", "/v1/")) or path in {"/api", "/v1"}


class EnvelopeRenderer(JSONRenderer):
    """Dresses what a view returned."""

    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Any = None,
    ) -> Any:
        context = renderer_context or {}
        request, response = context.get("request"), context.get("response")
        if request is not None and response is not None:
            data = dress(dialect_of(request), response, data)
        return super().render(data, accepted_media_type, renderer_context)


def dress(dialect: Dialect, response: Response, data: Any) -> Any:
    match data:
        case Problem():
            return dialect.problem(data)
        case Deleted():
            return dialect.deleted(data)
        case Page():
            return dialect.many(
                Resource.of(getattr(data.items, "serializer", None)), data
            )
        case ReturnList():
            every = len(data)
            whole = Page(
                data,
                total=every,
                limit=every,
                offset=0,
                page=1,
                has_more=False,
                next_cursor=None,
            )
            return dialect.many(Resource.of(data.serializer), whole)
        case ReturnDict():
            if isinstance(response, FlatResponse) and dialect.flat_creates:
                response.status_code = 200
                return data
            resource = Resource.of(data.serializer)
            return dialect.one(resource, data) if resource else dialect.result(data)
        case _:
            return dialect.result(data)
