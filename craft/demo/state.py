"""How far the demo got, kept in var/ so that one that was killed goes on where it was. Secrets leave the file when it is done."""

import json
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model

CUSTOMER = "demo@craft.example"
ADMIN = "admin@craft.example"


def path() -> Path:
    return Path(settings.VAR_DIR) / "demo.json"


def load() -> dict[str, Any]:
    """What is known; nothing, when the database was thrown away since."""
    try:
        known: dict[str, Any] = json.loads(path().read_text())
    except (FileNotFoundError, ValueError):
        return {}
    if (
        known.get("registered")
        and not get_user_model().objects.filter(email=CUSTOMER).exists()
    ):
        return {}
    return known


def save(known: dict[str, Any]) -> None:
    """In one step: a kill leaves the old file or the new one, never half of one."""
    draft = path().with_suffix(".new")
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
    ) as file:
        json.dump(known, file, indent=1)
    draft.replace(path())


def finish() -> None:
    """The secrets were shown; from here on nobody but their owner knows them."""
    save({"registered": True, "done": True})


def is_done() -> bool:
    return bool(load().get("done"))
