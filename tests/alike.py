"""`python -m tests.alike`: whether login, forgot and resend take as long for an address that nobody has as for somebody's, with the hasher of production.

Prints the median of each, their ratio, and how uncertain that is. An installation of its own is made for it, and goes with it.
"""

import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import exp, log

import django
from django.core.management import call_command

AUTH = "/api/v1/auth"
KNOWN, UNKNOWN = "ada@example.com", "bea@example.com"
CALLS = {
    "login": ("login", {"password": "quite wrong"}, 401),
    "forgot": ("password/forgot", {}, 200),
    "resend": ("verify-email/resend", {}, 200),
}
NO_LIMIT = dict.fromkeys(("account", "known_address", "address", "registration"), 10**6)
TOLERANCE = 0.1
CERTAIN = 0.025
MIN_PAIRS, MAX_PAIRS = 24, 160

numbers = count()


@dataclass(frozen=True)
class Comparison:
    """Two calls, in pairs one right after the other, so that whatever else the machine does meets both."""

    known: list[float]
    unknown: list[float]

    @property
    def ratio(self) -> float:
        return exp(statistics.median(self._differences))

    @property
    def error(self) -> float:
        """The standard error of the ratio, by what does not mind outliers."""
        middle = statistics.median(self._differences)
        spread = statistics.median(abs(one - middle) for one in self._differences)
        return 1.4826 * 1.2533 * spread / len(self.known) ** 0.5

    @property
    def is_alike(self) -> bool:
        return abs(self.ratio - 1) <= TOLERANCE

    @property
    def _differences(self) -> list[float]:
        pairs = zip(self.known, self.unknown, strict=True)
        return [log(known / unknown) for known, unknown in pairs]

    def __str__(self) -> str:
        medians = [statistics.median(side) * 1000 for side in (self.known, self.unknown)]  # fmt: skip
        return f"known {medians[0]:7.2f} ms  unknown {medians[1]:7.2f} ms  ratio {self.ratio:.3f} ± {self.error:.3f}  ({len(self.known)} pairs)"


def compare(
    client,
    name: str,
    *,
    most: int = MAX_PAIRS,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """As many pairs as it takes to be certain: when to stop follows from their spread, and never from what they say."""
    path, more, status = CALLS[name]

    def taken(email: str) -> float:
        number = next(numbers)
        client.defaults["REMOTE_ADDR"] = f"10.{number // 62_500}.{number // 250 % 250}.{number % 250}"  # fmt: skip
        began = clock()
        answer = client.post(f"{AUTH}/{path}", {"email": email, **more})
        span = clock() - began
        assert answer.status_code == status, answer.content
        return span

    found = Comparison([], [])
    for email in (KNOWN, UNKNOWN):
        taken(email)
    while len(found.known) < most:
        in_turn = [(KNOWN, found.known), (UNKNOWN, found.unknown)]
        for email, side in in_turn[:: 1 if len(found.known) % 2 else -1]:
            side.append(taken(email))
        if len(found.known) >= MIN_PAIRS and found.error <= CERTAIN:
            break
    return found


def measure() -> None:
    from django.conf import settings  # noqa: PLC0415  # once Django is set up
    from rest_framework.test import APIClient  # noqa: PLC0415  # as above

    from accounts.services.people import register  # noqa: PLC0415  # as above

    settings.GUESSES_PER_HOUR = NO_LIMIT
    settings.ALLOWED_HOSTS.append("testserver")
    register(
        email=KNOWN,
        password="correct horse battery staple",
        full_name="Ada",
        company_name="Ada's",
    )
    for name in CALLS:
        sys.stdout.write(f"{name:8} {compare(APIClient(), name, most=1_500)}\n")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="craft-alike-") as folder:
        os.environ |= {"CRAFT_VAR_DIR": folder, "REDIS_URL": ""}
        os.environ["DJANGO_SETTINGS_MODULE"] = "craft.settings"
        os.environ.pop("DATABASE_URL", None)
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # each refusal is one
        django.setup()
        call_command("migrate", verbosity=0)
        measure()


if __name__ == "__main__":
    main()
