from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from craft import egress
from craft.api.limits import address_of
from craft.events import Actor, current_actor
from craft.fields import new_id

REQUEST_ID_HEADER = "X-Request-ID"
MODE_HEADER = "X-Craft-Mode"
USER_AGENT_LENGTH = 300


def request_id_of(request: HttpRequest) -> str:
    return getattr(request, "request_id", "")


class RequestIdMiddleware:
    """Gives each request an id that the answer, the error body and every log line carry."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.request_id = new_id("req")  # type: ignore[attr-defined]  # read by request_id_of
        # A server's thread serves many requests: nothing stays of the one before.
        current_actor.set(
            Actor(
                address=address_of(request),
                user_agent=request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH],
                request_id=request_id_of(request),
            )
        )
        with structlog.contextvars.bound_contextvars(request_id=request_id_of(request)):
            response = self.get_response(request)
        response[REQUEST_ID_HEADER] = request_id_of(request)
        return response


class ModeMiddleware:
    """Every request begins live. One that turned out to be a test key's says so in its answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with egress.test_mode(False):
            response = self.get_response(request)
        if getattr(request, "is_test", False):
            response[MODE_HEADER] = "test"
        return response
