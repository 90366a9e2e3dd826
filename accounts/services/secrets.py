"""Secrets leave here once, as text, and are kept as keyed hashes (HMAC-SHA256 under the installation's secret)."""

import hashlib
import hmac

from django.conf import settings


def digest_of(text: str) -> str:
    return hmac.new(
        settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256
    ).hexdigest()
