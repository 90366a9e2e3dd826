"""A customer whose calls come in by the WSGI application, as a server's do: light calls are answered on their lane, all others by Django."""

from functools import cached_property
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from rest_framework.test import APIClient, ForceAuthClientHandler

from craft.api.light import LightLane


class LaneHandler(ForceAuthClientHandler):
    """Django's test handler, with the lane before it."""

    @cached_property
    def lane(self) -> LightLane:
        return LightLane(lambda environ, start_response: [])

    def __call__(self, environ: dict[str, Any]) -> HttpResponse:
        told = None if self._force_user else self.lane.answer(environ)
        if told is None:
            return super().__call__(environ)
        status, headers, body = told
        response: Any = HttpResponse(body, status=status)
        for name, value in headers:
            response[name] = value
        response.wsgi_request = WSGIRequest(environ)
        return response


class LaneClient(APIClient):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.handler = LaneHandler(self.handler.enforce_csrf_checks)
