"""A production start has no operator yet. Who reads what the start printed may make the first: it names a token, which is kept in var/ and good once."""

import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils.crypto import constant_time_compare


def has_operator() -> bool:
    return get_user_model().objects.filter(is_staff=True, is_active=True).exists()


def path() -> Path:
    return Path(settings.VAR_DIR) / "setup_token"


def offer_token() -> str:
    """The one that there is, or a new one; processes that start at once agree on it."""
    give_back_token(secrets.token_urlsafe(18))
    return path().read_text().strip()


def take_token(text: str) -> bool:
    """Whether this is it, and was still to be had: of many at once, one gets it."""
    try:
        kept = path().read_text().strip()
        if not constant_time_compare(kept, text.strip()):
            return False
        path().unlink()
    except FileNotFoundError:
        return False
    return True


def give_back_token(text: str) -> None:
    draft = path().with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        path().hardlink_to(draft)  # in one step, and only where there is none
    except FileExistsError:
        pass
    finally:
        draft.unlink()
