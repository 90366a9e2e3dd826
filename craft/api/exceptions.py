"""Every error leaves by this door, in one body: DRF's, the domain's and the ones nobody expected."""

import logging
import math
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import DatabaseError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from rest_framework import exceptions, status
from rest_framework.response import Response

from craft.api.envelopes import Problem, dialect_of, is_api_path
from craft.exceptions import DomainError
from craft.middleware import request_id_of

logger = logging.getLogger("craft.api")

UNEXPECTED = "Something went wrong on our side. Give the request_id to the operator: the log carries it."
UNEXPECTED_ON_PAGE = "Something went wrong on our side. Try again; if it stays, give the operator the number below: the log carries it."
MESSAGES = {
    400: "The request is not valid.",
    404: "There is nothing at this address.",
    413: "The body is too large.",
}
HEADINGS = {
    403: "Not for you",
    404: "Nothing here",
    500: "That is our fault",
}


class QueryError(exceptions.ValidationError):
    """A query parameter that makes no sense: a 400 in every dialect, since a body's 422 is about bodies."""


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: answers for whatever a view raised."""
    request: HttpRequest = context["request"]
    problem, headers = describe(error, request)
    if problem.status >= 500:
        note_unexpected(error)
    if rate := getattr(error, "rate", None):
        request._request.rate = rate  # type: ignore[attr-defined]  # the headers tell of the window that refused
    if problem.status == status.HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(problem, status=problem.status, headers=headers)


def note_unexpected(error: Exception) -> None:
    if not isinstance(error, DomainError | exceptions.APIException):
        logger.error("unexpected %s", type(error).__name__, exc_info=error)


def describe(error: Exception, request: HttpRequest) -> tuple[Problem, dict[str, str]]:
    invalid_status = dialect_of(request).invalid_status
    headers: dict[str, str] = {}
    details: dict[str, Any] = {}
    own_code = ""
    match error:
        case exceptions.ValidationError():
            details = flatten(error.detail)
            message = summarise(details)
            code = 400 if isinstance(error, QueryError) else invalid_status
        case exceptions.APIException():
            message, code = str(error.detail), error.status_code
            headers = headers_of(error)
        case DomainError():
            message, code, details = error.message, error.status_code, error.details
            code = invalid_status if code == status.HTTP_400_BAD_REQUEST else code
            headers = headers_of(error)
            own_code = error.code if error.is_told else ""
        case Http404():
            message, code = "Not found.", 404
        case PermissionDenied():
            message, code = "You may not do this.", 403
        case RequestDataTooBig():
            message, code = MESSAGES[413], 413
        case SuspiciousOperation():
            message, code = MESSAGES[400], 400
        case OperationalError():
            message, code = "The database can't be reached. Try again in a moment.", 503
            headers = {"Retry-After": "5"}
        case DatabaseError() | _:
            message, code = UNEXPECTED, 500
    problem = Problem(code, message, request_id_of(request), details, own_code)
    return problem, headers


def headers_of(error: exceptions.APIException | DomainError) -> dict[str, str]:
    wait = getattr(error, "wait", None)
    return {} if wait is None else {"Retry-After": str(math.ceil(wait))}


def flatten(detail: Any, path: str = "") -> dict[str, str]:
    """DRF's nested detail as dotted paths, one sentence each: `{"nodes.2.config.url": "This field is required."}`."""
    if isinstance(detail, dict):
        items = [(str(key), value) for key, value in detail.items()]
    elif isinstance(detail, list) and any(
        isinstance(item, dict | list) for item in detail
    ):
        items = [(str(index), value) for index, value in enumerate(detail) if value]
    else:
        sentence = (
            " ".join(dict.fromkeys(str(item) for item in detail))
            if isinstance(detail, list)
            else str(detail)
        )
        return {path or "body": sentence}
    flat: dict[str, str] = {}
    for key, value in items:
        if key == "non_field_errors":
            flat |= flatten(value, path)
        else:
            flat |= flatten(value, f"{path}.{key}" if path else key)
    return flat


def summarise(details: dict[str, str]) -> str:
    if not details:
        return MESSAGES[400]
    field, sentence = next(iter(details.items()))
    more = len(details) - 1
    rest = f" ({more} more in details)" if more else ""
    return f"{sentence}{rest}" if field == "body" else f"{field}: {sentence}{rest}"


def plain_error(
    request: HttpRequest, code: int, message: str, heading: str = ""
) -> HttpResponse:
    """An error outside any view: no such path, a host that is not ours, a crash in a middleware."""
    if not is_api_path(request.path):
        return _error_page(request, code, message, heading)
    return JsonResponse(
        dialect_of(request).problem(Problem(code, message, request_id_of(request))),
        status=code,
    )


def _error_page(
    request: HttpRequest, code: int, message: str, heading: str
) -> HttpResponse:
    """Made without looking anything up: whatever is broken, this is not."""
    context = {
        "heading": heading or HEADINGS.get(code, "That did not work"),
        "message": message,
        "request_id": request_id_of(request) if code >= 500 else "",
    }
    return HttpResponse(render_to_string("craft/error.html", context), status=code)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return plain_error(request, 400, MESSAGES[400])


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return plain_error(request, 403, str(exception) or "You may not do this.")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    return plain_error(
        request,
        403,
        "It was opened before you signed in, or in a browser that keeps no cookies for us. Go back, load it anew, and send it again.",
        heading="This form has grown old",
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return plain_error(request, 404, MESSAGES[404])


def server_error(request: HttpRequest) -> HttpResponse:
    is_page = not is_api_path(request.path)
    return plain_error(request, 500, UNEXPECTED_ON_PAGE if is_page else UNEXPECTED)
