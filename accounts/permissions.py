from typing import Any

from rest_framework.permissions import BasePermission
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
        return True


def refusal(level: str, kind: str) -> str:
    if level == "owner":
        return "Only the owner of the company may do this, signed in and not by a key."
    if level == "person":
        return "Only a person who is signed in may do this, not a key."
    if kind == "key":
        return f"This API key lacks the permission {level!r}, or its owner's role does."
    return f"Your role does not include {level!r}. Ask an admin of your company."
