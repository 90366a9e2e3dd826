"""A company's sandbox: a twin with copies of its records, in which its test keys work. Nothing in it is billed, and nothing leaves it."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import events
from accounts.models import Company
from accounts.models.access import changing_access
from craft import copies
from craft.events import Event, publish
from craft.exceptions import ConflictError

ATTEMPTS = 3


def sandbox_of(company: Company) -> Company:
    """The company's sandbox, filled on its first use. Two first uses at once make one."""
    return company.filled_sandbox or _fill(company, anew=False)


def reset_sandbox(*, company: Company) -> Company:
    """Empty the sandbox and fill it anew. It stays the same company, so its keys work on, and its rate limits count on."""
    return _fill(company, anew=True)


def _fill(company: Company, *, anew: bool) -> Company:
    """Rows are read and files copied before the one transaction that changes anything. A record that goes meanwhile is a reason to begin again."""
    twin, _ = Company.objects.get_or_create(
        sandbox_of=company, defaults={"name": _name_for(company)}
    )
    for _ in range(ATTEMPTS):
        copying = copies.Copying(
            source_id=company.pk, target_id=twin.pk, company=Company
        )
        copying.read()
        try:
            with copying.with_files():
                filled = _write(company, twin, copying, anew=anew)
        except IntegrityError:
            continue
        return filled
    raise ConflictError(
        "The company's records change too fast to be copied right now. Try again in a moment."
    )


def _name_for(company: Company) -> str:
    """So that an operator never takes one for the other."""
    return f"{company.name[:180]} (sandbox)"


@transaction.atomic
def _write(
    company: Company, twin: Company, copying: copies.Copying, *, anew: bool
) -> Company:
    locked = Company.objects.select_for_update().get(pk=twin.pk)
    if locked.copied_at and not anew:
        copying.remove_files()  # another first use was faster
        return locked
    copies.empty(locked.pk)
    copying.write()
    locked.name, locked.copied_at = _name_for(company), timezone.now()
    with changing_access([company.pk]):
        locked.save(update_fields=["name", "copied_at", "updated_at"])
    publish(
        Event(
            events.SANDBOX_RESET if anew else events.SANDBOX_CREATED,
            company.pk,
            {"sandbox_id": locked.pk, "rows": copying.count},
        )
    )
    return locked
