"""`Idempotency-Key` on any POST: the same key and body within 24 hours give the first answer again, and what it did was done once.

Ordinary calls are **held**: a row for the key, the effect and the answer commit in one transaction. Whoever comes with the same key meanwhile waits for that
row, and after a kill there is either all of it or nothing.

Calls that ask models, run workflows, read uploads or hash passwords must not hold a transaction (`unheld` of their viewset). There the row is committed first, the effect
is tied to it, and the answer follows. Tied in one of two ways: the execution carries the row's id as its own unique key (`key_for_work`), or the change
that the call publishes is noted in the row from within the change's transaction, of which only one can succeed. So whoever finds a row without an answer,
because its process was killed, finds what was done instead of doing it again.

Only answers below 400 are kept. What was refused did nothing: mended or later, it may be sent again with the same key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, QueryDict
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from craft.api.exceptions import QueryError
from craft.api.limits import address_of
from craft.events import Event
from craft.exceptions import ConflictError, DomainError, InProgressError
from craft.models import KeptAnswer
from craft.vault import UnsealError, seal, unseal

if TYPE_CHECKING:
    from craft.api.viewsets import ApiViewSet

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEY = re.compile(r"[!-~]{1,255}")
KEEP = timedelta(hours=24)
WAIT_SECONDS = 3.0
POLL_SECONDS = 0.05
FORGOTTEN_AT_ONCE = 1_000
LOCK_NOT_AVAILABLE = "55P03"
OF_EVERY_ANSWER = {"vary", "allow", "content-length"}
EXPECTED = (APIException, DomainError, Http404, PermissionDenied)
"""What a view raises on purpose: a refusal, and no accident."""

Handler = Callable[..., Any]


class KeyReusedError(ConflictError):
    """The key came before with another request."""

    code = "idempotency_key_reused"


class CarriedOutError(ConflictError):
    """What this call was to do was done under the same key meanwhile."""

    code = "carried_out"


@dataclass(frozen=True)
class Claim:
    """What the row for a call is found by, and what it has to agree with."""

    company_id: int | None
    scope: str
    operation: str
    key: str
    fingerprint: str

    @property
    def rows(self) -> QuerySet[KeptAnswer]:
        return KeptAnswer.objects.filter(
            scope=self.scope, operation=self.operation, key=self.key
        )

    def check(self, kept: KeptAnswer) -> KeptAnswer:
        if not hmac.compare_digest(kept.fingerprint, self.fingerprint):
            raise KeyReusedError(
                f"This {HEADER} was used for another request. Take a new key for each request, and the same one only to repeat it."
            )
        return kept

    def make(self) -> KeptAnswer:
        made = KeptAnswer(
            company_id=self.company_id,
            scope=self.scope,
            operation=self.operation,
            key=self.key,
            fingerprint=self.fingerprint,
        )
        made.save(force_insert=True)
        return made


def answered_once(view: ApiViewSet, handler: Handler) -> Handler:
    """The handler of a POST; with a key, one that acts once."""
    key = view.request.headers.get(HEADER)
    if key is None:
        return handler
    if not KEY.fullmatch(key):
        raise QueryError({HEADER: "Must be 1 to 255 visible ASCII characters."})
    run = _run_unheld if view.action in view.unheld else _run_held

    def answer(request: Request, *args: Any, **kwargs: Any) -> Any:
        return run(
            view,
            claim_of(request, key),
            lambda: rendered(view, request, handler(request, *args, **kwargs)),
        )

    return answer


def key_for_work(request: Request) -> str | None:
    """What an unheld call gives to the row of its work as a unique key; None where the caller sent none."""
    pk = getattr(request._request, "kept_answer_id", None)
    return f"request:{pk}" if pk else None


# --- Whose key, for what ---


def claim_of(request: Request, key: str) -> Claim:
    """A company's keys are its own. Who shows no credentials is told from others by address and body: nobody gets what another was answered."""
    company = getattr(request, "company", None)
    fingerprint = fingerprint_of(request)
    if company is None:
        scope = f"address:{address_of(request._request)}:{fingerprint}"
    else:
        scope = f"company:{company.pk}"
    operation = f"{request.method} {request.path}"
    return Claim(company.pk if company else None, scope, operation, key, fingerprint)


def fingerprint_of(request: Request) -> str:
    """Of who asks, and of what they sent as it was understood: a repeat may write the same JSON in another way. Keyed, since a body may hold a password."""
    sent = salted_hmac("craft.idempotency", str(request.user.pk), algorithm="sha256")
    sent.update(json.dumps(sorted(request.query_params.lists())).encode())
    data = request.data
    if isinstance(data, QueryDict):
        for name in sorted(data):
            for value in data.getlist(name):
                sent.update(f"\n{name}\n".encode())
                sent.update(_digest_of(value))
    else:
        sent.update(json.dumps(data, sort_keys=True).encode())
    return sent.hexdigest()


def _digest_of(value: Any) -> bytes:
    digest = hashlib.sha256()
    if isinstance(value, UploadedFile):
        digest.update(f"{value.name}\n".encode())
        for chunk in value.chunks():
            digest.update(chunk)
        value.seek(0)
    else:
        digest.update(str(value).encode())
    return digest.digest()


# --- Held: one transaction for the key, the effect and the answer ---


def _run_held(view: ApiViewSet, claim: Claim, act: Callable[[], HttpResponse]) -> Any:
    refusal = None
    try:
        with transaction.atomic():
            kept = _kept_before(claim) or _insert_or_wait(claim)
            if kept.status is not None:
                return replay(kept)
            try:
                response = act()
            except EXPECTED as error:
                # Not rolled back: services undo their own changes, and what they mean to keep (a wrong guess, an ended session) stays.
                refusal = error
                kept.delete()
            else:
                _keep_or_forget(kept, response)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == LOCK_NOT_AVAILABLE:
            raise InProgressError(STILL_AT_IT) from None
        raise
    if refusal is not None:
        raise refusal
    return response


STILL_AT_IT = (
    f"The first request with this {HEADER} is still being answered. Ask again shortly."
)


def _kept_before(claim: Claim) -> KeptAnswer | None:
    kept = claim.rows.first()
    if kept is not None and kept.created_at < timezone.now() - KEEP:
        claim.rows.filter(pk=kept.pk).delete()
        return None
    return claim.check(kept) if kept else None


def _insert_or_wait(claim: Claim) -> KeptAnswer:
    """On PostgreSQL an insert waits for another's of the same key that is not committed yet; on SQLite the transaction has waited before."""
    _bound_waiting(f"'{round(WAIT_SECONDS * 1000)}ms'")
    try:
        with transaction.atomic():
            made = claim.make()
    except IntegrityError:
        made = claim.check(claim.rows.get())
    _bound_waiting("DEFAULT")
    return made


def _bound_waiting(limit: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout TO {limit}")


# --- Unheld: the key first, then the work that is tied to it, then the answer ---

_noting: ContextVar[str | None] = ContextVar("noting", default=None)


def note_effect(event: Event) -> None:
    """Within the transaction of the change that an unheld call makes: of two with the same key only one gets through."""
    pk = _noting.get()
    if pk is None or not event.is_change:
        return
    rows = KeptAnswer.objects.filter(pk=pk, effect="", status=None)
    if not rows.update(effect=event.type, effect_id=event.resource_id):
        raise CarriedOutError(STILL_AT_IT)
    _noting.set(None)


def _run_unheld(view: ApiViewSet, claim: Claim, act: Callable[[], HttpResponse]) -> Any:
    kept, is_mine = _claim(claim)
    if not is_mine:
        found = _wait_for_answer(kept)
        if found is None:
            return _run_unheld(view, claim, act)  # the first was refused
        kept = found
        if kept.status is not None:
            return replay(kept)
        if kept.effect:
            return _answer_for_effect(view, kept)
    view.request._request.kept_answer_id = kept.pk  # type: ignore[attr-defined]  # read by key_for_work
    noting = _noting.set(kept.pk)
    try:
        response = act()
    except CarriedOutError:
        found = _wait_for_answer(kept)
        if found is None or found.status is None:
            raise InProgressError(STILL_AT_IT) from None
        return replay(found)
    except InProgressError:
        raise  # another has the work in hand: the row stays theirs
    except BaseException:
        KeptAnswer.objects.filter(pk=kept.pk, effect="", status=None).delete()
        raise
    finally:
        _noting.reset(noting)
    return _keep_first(kept, response)


def _claim(claim: Claim) -> tuple[KeptAnswer, bool]:
    kept = _kept_before(claim)
    if kept is not None:
        return kept, False
    try:
        with transaction.atomic():
            return claim.make(), True
    except IntegrityError:
        found = _kept_before(claim)
        return (found, False) if found else _claim(claim)


def _wait_for_answer(kept: KeptAnswer) -> KeptAnswer | None:
    """The row once it has its answer, or as it is when the time is up: then its process is slow, or gone. None when the first was refused."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        found = KeptAnswer.objects.filter(pk=kept.pk).first()
        if found is None or found.status is not None or time.monotonic() > until:
            return found
        time.sleep(POLL_SECONDS)


def _answer_for_effect(view: ApiViewSet, kept: KeptAnswer) -> HttpResponse:
    """The process was killed after the change and before its answer: tell what there is now."""
    row = None
    with suppress(AttributeError, AssertionError):
        row = view.get_queryset().filter(pk=kept.effect_id).first()
    if row is None:
        raise CarriedOutError(
            f"The first request with this {HEADER} was carried out ({kept.effect} {kept.effect_id}), but its answer is lost."
        )
    data = view.get_serializer(row).data
    if kept.effect.endswith(".created"):
        answer = Response(data, status=201, headers=view.location_of(data))
    else:
        answer = Response(data)
    return _keep_first(kept, rendered(view, view.request, answer))


# --- Answers ---


def rendered(view: ApiViewSet, request: Request, response: Any) -> HttpResponse:
    response = view.finalize_response(request, response)
    if isinstance(response, Response):
        response.render()
    return response  # type: ignore[no-any-return]  # what a view answers


def is_worth_keeping(response: HttpResponse) -> bool:
    return response.status_code < 400 and not response.streaming


def _keep_or_forget(kept: KeptAnswer, response: HttpResponse) -> None:
    if is_worth_keeping(response):
        kept.status, kept.answer = response.status_code, _sealed(kept, response)
        kept.save(update_fields=["status", "answer", "updated_at"])
    else:
        kept.delete()


def _keep_first(kept: KeptAnswer, response: HttpResponse) -> HttpResponse:
    """Whoever is first to answer answers for all."""
    rows = KeptAnswer.objects.filter(pk=kept.pk)
    if not is_worth_keeping(response):
        rows.filter(effect="", status=None).delete()
        return response
    if rows.filter(status=None).update(
        status=response.status_code, answer=_sealed(kept, response)
    ):
        return response
    found = rows.first()
    return replay(found) if found else response


def _sealed(kept: KeptAnswer, response: HttpResponse) -> str:
    headers = {
        name: value
        for name, value in response.headers.items()
        if name.lower() not in OF_EVERY_ANSWER
    }
    text = json.dumps({"headers": headers, "body": response.content.decode()})
    return seal(text, context=f"idempotency:{kept.pk}")


def replay(kept: KeptAnswer) -> HttpResponse:
    try:
        told = json.loads(unseal(kept.answer, context=f"idempotency:{kept.pk}"))
    except UnsealError:
        raise CarriedOutError(
            f"The first request with this {HEADER} was answered, but that answer can't be opened any more: its encryption key is gone."
        ) from None
    response = HttpResponse(told["body"], status=kept.status, headers=told["headers"])
    response[REPLAYED] = "true"
    return response


def forget_old_answers() -> int:
    """Every hour: no transaction for all of them, of which there may be many."""
    old = KeptAnswer.objects.filter(created_at__lt=timezone.now() - KEEP)
    count = 0
    while ids := list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        count += KeptAnswer.objects.filter(pk__in=ids).delete()[0]
    return count
