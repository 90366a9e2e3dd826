"""What a company says of itself, and its outlets."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts import events
from accounts.models import Company, Outlet
from craft.events import Event, publish


@transaction.atomic
def update_company(company: Company, **values: Any) -> Company:
    company = Company.objects.select_for_update().get(pk=company.pk)
    changes = company.assign(values)
    if changes:
        company.save()
        data = {"company_id": company.pk, "changes": changes}
        publish(Event(events.COMPANY_UPDATED, company.pk, data))
    return company


@transaction.atomic
def create_outlet(*, company: Company, **fields: Any) -> Outlet:
    outlet = Outlet(company=company, **{"time_zone": company.time_zone, **fields})
    outlet.save(force_insert=True)
    publish(_told(events.OUTLET_CREATED, outlet))
    return outlet


@transaction.atomic
def update_outlet(outlet: Outlet, **values: Any) -> Outlet:
    own = Outlet.objects.for_company(outlet.company_id)
    outlet = own.select_for_update().get(pk=outlet.pk)
    changes = outlet.assign(values)
    if changes:
        outlet.save()
        publish(_told(events.OUTLET_UPDATED, outlet, changes=changes))
    return outlet


@transaction.atomic
def delete_outlet(outlet: Outlet) -> None:
    """What was done on its behalf stays, and keeps its id."""
    publish(_told(events.OUTLET_DELETED, outlet))
    outlet.delete()


def _told(kind: str, outlet: Outlet, **more: Any) -> Event:
    data = {"outlet_id": outlet.pk, "name": outlet.name, **more}
    return Event(kind, outlet.company_id, data)
