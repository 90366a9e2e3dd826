from __future__ import annotations

import time
from typing import Any

from django.db import transaction

from accounts.models import Company
from billing import events
from billing.models import Plan, Subscription, SubscriptionStatus
from craft.api.limits import Allowance, Window
from craft.events import Event, changes_between, publish
from craft.exceptions import NotFoundError
from craft.prepared import INTEGER, PreparedObject

TRIAL_PLAN = "agents-starter"
_KEEP_SECONDS = 5.0
_allowances: dict[int, tuple[float, Allowance]] = {}


def get_windows(company: Company) -> list[Window]:
    """The rate windows of the company's plan."""
    return list(get_allowance(company).windows)


def get_allowance(company: Company) -> Allowance:
    """What the company's plan allows; at most a few seconds old, since every call asks."""
    payer = company.sandbox_of_id or company.pk  # a sandbox is on its company's plan
    kept = _allowances.get(payer)
    if kept and kept[0] > time.monotonic():
        return kept[1]
    subscription = _subscription_of.first(payer)
    allowance = allowance_of(subscription.plan) if subscription else Allowance()
    if len(_allowances) > 10_000:
        _allowances.clear()
    _allowances[payer] = (time.monotonic() + _KEEP_SECONDS, allowance)
    return allowance


_subscription_of = PreparedObject(
    lambda company_id: Subscription.objects.for_company(company_id).select_related(
        "plan"
    ),
    INTEGER,
)


def allowance_of(plan: Plan) -> Allowance:
    return Allowance(str(plan), plan.has_api_access, tuple(windows_of(plan)))


def windows_of(plan: Plan) -> list[Window]:
    limits = [
        ("minute", plan.per_minute, plan.per_minute_burst),
        ("hour", plan.per_hour, None),
        ("day", plan.per_day, None),
    ]
    return [
        Window(period, limit, burst or limit)
        for period, limit, burst in limits
        if limit
    ]


@transaction.atomic
def set_plan(
    *, company: Company, slug: str, status: str = SubscriptionStatus.ACTIVE
) -> Subscription:
    plan = Plan.objects.filter(slug=slug).first()
    if plan is None:
        known = ", ".join(Plan.objects.values_list("slug", flat=True))
        raise NotFoundError(f"There is no plan {slug!r}. Known are: {known}.")
    locked = Subscription.objects.for_company(company).select_for_update(of=("self",))
    before = _told(locked.select_related("plan").first())
    subscription, _ = Subscription.unscoped.update_or_create(
        company=company, defaults={"plan": plan, "status": status}
    )
    _allowances.pop(company.pk, None)
    changes = changes_between(before, _told(subscription))
    if changes:
        data = {"plan": plan.slug, "status": status, "changes": changes}
        publish(
            Event(
                events.PLAN_CHANGED,
                company.pk,
                {"subscription_id": subscription.pk, **data},
            )
        )
    return subscription


def _told(subscription: Subscription | None) -> dict[str, Any]:
    if subscription is None:
        return {}
    return {"plan": subscription.plan.slug, "status": str(subscription.status)}
