from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request


class HasAccess(BasePermission):
    """The caller may do what the viewset's `access` asks for."""

    message = "You may not do this."

    def has_permission(self, request: Request, view: Any) -> bool:
        level = view.level
        if level == "public":
            return True
        if not request.user.is_authenticated or request.auth is None:
            return False
        credentials: Any = request.auth
        if level not in credentials.levels:
            self.message = refusal(level, credentials.kind)
            return False
        if credentials.sandbox is not None and view.is_live_only:
            return self.admits_a_test_key(request, level, credentials)
        return True

    def admits_a_test_key(self, request: Request, level: str, credentials: Any) -> bool:
        """People and the account itself are live only: a test key reads them, and changes nothing."""
        request._request.company = credentials.membership.company  # type: ignore[attr-defined]  # read as request.company
        self.message = "A test key works on the sandbox and can't change this, which is live. Use a live key, or sign in."
        return request.method in SAFE_METHODS


def refusal(level: str, kind: str) -> str:
    if level == "owner":
        return "Only the owner of the company may do this, signed in and not by a key."
    if level == "person":
        return "Only a person who is signed in may do this, not a key."
    if kind == "key":
        return f"This API key lacks the permission {level!r}, or its owner's role does."
    return f"Your role does not include {level!r}. Ask an admin of your company."
