from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class HasAccess(BasePermission):
    """The caller may do what the viewset's `access` asks for: `public`, `read`, `write` or `admin`."""

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
    if kind == "key":
        return f"This API key lacks the permission {level!r}, or its owner's role does."
    return f"Your role does not include {level!r}. Ask an admin of your company."
