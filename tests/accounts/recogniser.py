"""A process of its own that recognises keys: a key on a line in, what became of it on a line out. A line that begins with `!` asks until the key is refused."""

import json
import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "craft.settings")
django.setup()

from django.db import connection  # noqa: E402  # once Django is set up
from django.test.utils import CaptureQueriesContext  # noqa: E402

from accounts.services.recognition import recognise_key  # noqa: E402


def ask(secret):
    with CaptureQueriesContext(connection) as asked:
        api_key = recognise_key(secret)
    may = (
        sorted(set(api_key.permissions) & api_key.membership.levels) if api_key else []
    )
    return {"found": api_key is not None, "may": may, "queries": len(asked)}


def ask_until_refused(secret):
    count, last = 0, 0.0
    while True:
        begun = time.monotonic()
        if recognise_key(secret) is None:
            return {"count": count, "last": last}
        count, last = count + 1, begun


for line in sys.stdin:
    secret = line.strip()
    answer = ask_until_refused(secret[1:]) if secret[0] == "!" else ask(secret)
    print(json.dumps(answer), flush=True)  # noqa: T201  # its way to answer
