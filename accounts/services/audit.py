"""The audit log: a line for each change, in the change's own transaction, and a chain that shows whether a line was touched since."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.utils import timezone

from accounts.models import AuditEntry, AuditHead, Company
from craft.events import Event, current_actor

SECRET_NAMES = re.compile(
    r"passw|secret|token|api_?key$|private|credential|digest|hash|authorization|cookie|recovery|otp|signature",
    re.IGNORECASE,
)
SECRET_TEXTS = re.compile(
    r"(?:cv|ak)_(?:live|test)_[0-9A-Za-z]{8,}|whsec_[0-9A-Za-z+/=_-]+|sk-[0-9A-Za-z_-]{8,}|Bearer\s+\S+|://[^/\s:@]+:[^/\s@]+@"
)
HIDDEN = "***"
LONGEST = 4_000
"""Longer values, in JSON, are told by their size only: the versions of a workflow keep its graphs."""
DEEPEST = 8
SEALED_AT_ONCE = 500
SEAL_WITHIN = timedelta(minutes=5)
PART = 3_000
"""As many entries as somebody waits for."""
A_COMPANY = 20
"""Asking for a company's log takes as long as reading so many entries of it."""


# --- Writing ---


def record_change(event: Event) -> None:
    """Runs in the publisher's transaction: the change and its line stand or fall together."""
    if not event.is_change:
        return
    actor = current_actor.get()
    told = {name: value for name, value in event.data.items() if name != "changes"}
    changes = event.data.get("changes") or {}
    AuditEntry(
        company_id=event.company_id,
        type=event.type,
        resource_type=event.resource,
        resource_id=event.resource_id,
        user_id=actor.user_id or "",
        api_key_id=actor.api_key_id or "",
        request_id=actor.request_id,
        origin=as_text(
            {"address": actor.address or "", "user_agent": actor.user_agent}
        ),
        details=as_text(
            {
                "data": without_secrets(told),
                "changes": {
                    name: [_bounded(without_secrets(side, name)) for side in sides]
                    for name, sides in changes.items()
                },
            }
        ),
    ).save()


def as_text(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, sort_keys=True)


def without_secrets(value: Any, name: str = "", depth: int = 0) -> Any:
    """Publishers put no secret into an event. This is the second door: what looks like one by its name or its form is hidden."""
    if value not in (None, "", [], {}) and SECRET_NAMES.search(name):
        return HIDDEN if not _is_harmless(name, value) else value
    if depth > DEEPEST:
        return "…"
    match value:
        case str():
            return SECRET_TEXTS.sub(HIDDEN, value)
        case dict():
            return {
                str(key): without_secrets(item, str(key), depth + 1)
                for key, item in value.items()
            }
        case list() | tuple():
            return [without_secrets(item, "", depth + 1) for item in value]
        case _:
            return value


def _is_harmless(name: str, value: Any) -> bool:
    """Numbers and switches (`max_tokens`), and ids (`credential_id`), tell nothing."""
    return isinstance(value, bool | int | float) or name.endswith(("_id", "_ids"))


def _bounded(value: Any) -> Any:
    size = len(as_text(value))
    return value if size <= LONGEST else {"left_out": True, "characters": size}


# --- Sealing ---


def seal_entries() -> int:
    """Give what was written since its place in its company's chain. A sweep calls this; of several at once, one works on a company."""
    waiting = AuditEntry.unscoped.filter(sequence=None).order_by()
    companies = list(waiting.values_list("company_id", flat=True).distinct()[:1000])
    return sum(_seal(company_id) for company_id in companies)


def _seal(company_id: int) -> int:
    AuditHead.unscoped.get_or_create(company_id=company_id)
    with transaction.atomic():
        held = AuditHead.unscoped.select_for_update(skip_locked=True)
        head = held.filter(company_id=company_id).first()
        if head is None:
            return 0
        entries = list(
            AuditEntry.objects.for_company(company_id)
            .unsealed()
            .order_by("pk")[:SEALED_AT_ONCE]
        )
        for entry in entries:
            head.sequence += 1
            head.link = entry.make_link(head.sequence, head.link)
            entry.sequence, entry.link = head.sequence, head.link
        if entries:
            _rows().bulk_update(entries, ["sequence", "link"], batch_size=100)
            head.seal = head.make_seal()
            head.save()
    return len(entries)


def _rows() -> models.QuerySet[AuditEntry]:
    """Past the refusal to update, for the two who may: the sealer and erasure."""
    return models.QuerySet(AuditEntry)


# --- Erasing ---


def erase_person_from_log(*, user_id: str) -> int:
    """Take out where a person called from, and what the log says about that person. That something was done, when and to what, stays, and so does the chain."""
    about = models.Q(resource_type="user", resource_id=user_id)
    told = _rows().filter(about).update(origin="{}", details="{}", is_erased=True)
    by = models.Q(user_id=user_id) & ~about
    return told + _rows().filter(by).update(origin="{}", is_erased=True)


# --- Verifying ---


@dataclass
class Verification:
    """What came of reading a company's log. `faults` names each row that is not as it was written."""

    company_id: int
    checked: int = 0
    erased: int = 0
    unsealed: int = 0
    untellable: int = 0
    sequence: int = 0
    link: str = ""
    last: int = 0
    """Where the chain ended when reading began."""
    faults: list[str] = field(default_factory=list)
    is_done: bool = True
    """False for a part, after which there is more."""

    @property
    def is_whole(self) -> bool:
        return not self.faults

    @property
    def place(self) -> tuple[int, str]:
        """Where the next part begins."""
        return self.sequence, self.link


def verify_audit_log(
    company: Company | int, *, anchor: tuple[int, str] | None = None
) -> Verification:
    """`anchor` is a place and link that an earlier verification gave, kept elsewhere: with it, a whole log that was put back to an older state is found too."""
    company_id = company if isinstance(company, int) else company.pk
    return _verify(Verification(company_id), anchor=anchor)


def verify_part(
    company: Company | int,
    *,
    after: tuple[int, str] = (0, ""),
    at_most: int = PART,
) -> Verification:
    """The same in pieces, for those who can't wait for the whole: begin the next one at the `place` where this one ended, until one is done."""
    company_id = company if isinstance(company, int) else company.pk
    place, link = after
    return _verify(Verification(company_id, sequence=place, link=link), at_most=at_most)


def verify_companies(
    *, since: tuple[int, int, str] = (0, 0, ""), at_most: int = PART
) -> tuple[list[Verification], tuple[int, int, str] | None]:
    """The logs of all companies in pieces: what came of each that was reached, and where the next piece begins, if there is one."""
    first, place, link = since
    parts: list[Verification] = []
    for company_id in (
        Company.objects.filter(pk__gte=first)
        .values_list("pk", flat=True)
        .order_by("pk")
    ):
        if at_most <= 0:
            return parts, (company_id, 0, "")
        after = (place, link) if company_id == first else (0, "")
        part = verify_part(company_id, after=after, at_most=at_most)
        parts.append(part)
        if not part.is_done:
            return parts, (company_id, *part.place)
        at_most -= part.checked + A_COMPANY
    return parts, None


def _verify(
    result: Verification,
    *,
    anchor: tuple[int, str] | None = None,
    at_most: int | None = None,
) -> Verification:
    company_id = result.company_id
    # The head first: what is sealed meanwhile comes after it, and is read all the same.
    head = _head_of(company_id)
    result.last = head.sequence
    has_anchor = anchor is None
    for entry in _sealed(company_id, after=result.sequence, at_most=at_most):
        _check_place(entry, result)
        has_anchor = has_anchor or anchor == (entry.sequence, entry.link)
        if entry.sequence == head.sequence:
            _check_head(entry, head, result)
    if result.checked == at_most:
        result.is_done = False
        return result
    if result.sequence and not head.sequence:
        head = _head_of(company_id)  # the first were sealed while we read
    if head.sequence > result.sequence:
        result.faults.append(f"After place {result.sequence} entries are missing.")
    if result.sequence and not head.is_sealed:
        result.faults.append("The end of the chain is not as it was sealed.")
    if result.untellable:
        result.faults.append(
            f"{result.untellable} entries were written under a key that is not in CRAFT_ENCRYPTION_KEYS: put it back to have them verified."
        )
    if not has_anchor:
        result.faults.append("The chain does not hold the given place and link.")
    _check_unsealed(result, at_most)
    return result


def _head_of(company_id: int) -> AuditHead:
    found = AuditHead.objects.for_company(company_id).first()
    return found or AuditHead(company_id=company_id)


def _sealed(
    company_id: int, *, after: int, at_most: int | None
) -> Iterator[AuditEntry]:
    rows = AuditEntry.objects.for_company(company_id).filter(sequence__gt=after)
    return rows.order_by("sequence")[:at_most].iterator(chunk_size=500)


def _check_place(entry: AuditEntry, result: Verification) -> None:
    place = entry.sequence or 0
    if place != result.sequence + 1:
        result.faults.append(
            f"Between places {result.sequence} and {place} entries are missing."
        )
    elif entry.is_tellable and not entry.follows(result.link):
        result.faults.append(f"{entry.pk} does not follow from the entry before it.")
    _check_words(entry, result)
    result.sequence, result.link = place, entry.link


def _check_words(entry: AuditEntry, result: Verification) -> None:
    result.checked += 1
    result.erased += entry.is_erased
    if not entry.is_tellable:
        result.untellable += 1
    elif not entry.is_whole:
        result.faults.append(f"{entry.pk} was changed after it was written.")


def _check_head(entry: AuditEntry, head: AuditHead, result: Verification) -> None:
    if entry.link != head.link:
        result.faults.append(f"{entry.pk} is not what the chain ended with.")


def _check_unsealed(result: Verification, at_most: int | None) -> None:
    late = timezone.now() - SEAL_WITHIN
    rows = AuditEntry.objects.for_company(result.company_id).unsealed().order_by("pk")
    for entry in rows[:at_most].iterator(chunk_size=500):
        result.unsealed += 1
        _check_words(entry, result)
        if entry.created_at < late:
            result.faults.append(
                f"{entry.pk} has no place in the chain yet: is a worker running?"
            )
