"""Plans and subscriptions in the operator console."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing.events import PLAN_CHANGED
from billing.models import Plan, Subscription
from billing.services import get_windows
from craft.events import subscribe
from tests.factories import PASSWORD


@pytest.fixture
def console(db) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("olive@example.com", PASSWORD))
    return client


def page(row, action="change") -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{action}", args=[row.pk])


def test_a_plan_is_changed_by_the_service(console, alice):
    news = []
    subscribe(PLAN_CHANGED, lambda event: news.append(event.data))
    get_windows(alice.company)
    subscription = Subscription.unscoped.get(company=alice.company)
    plan = Plan.objects.get(slug="agents-starter")
    data = {"plan": plan.pk, "status": "active"}
    assert console.post(page(subscription), data).status_code == 302
    (told,) = news
    assert (told["plan"], told["status"]) == ("agents-starter", "active")
    assert told["changes"] == {"plan": ["agents-enterprise", "agents-starter"]}
    assert get_windows(alice.company)[0].limit == plan.per_hour


def test_a_subscription_is_neither_added_nor_deleted(console, alice):
    subscription = Subscription.unscoped.get(company=alice.company)
    assert console.get("/admin/billing/subscription/add/").status_code == 403
    answer = console.post(page(subscription, "delete"), {"post": "yes"})
    assert answer.status_code == 403


def test_a_plan_that_companies_are_on_stays(console, alice):
    used = Subscription.unscoped.get(company=alice.company).plan
    assert console.post(page(used, "delete"), {"post": "yes"}).status_code == 403
    spare = Plan.objects.create(slug="spare", name="Spare", family="agents")
    assert console.post(page(spare, "delete"), {"post": "yes"}).status_code == 302
    assert not Plan.objects.filter(slug="spare").exists()


def test_a_plan_keeps_the_name_that_programs_know(console, alice):
    plan = Plan.objects.get(slug="agents-starter")
    data = {"name": "Start", "slug": "other", "family": "agents", "per_minute": 7}
    assert console.post(page(plan), data).status_code == 302
    plan.refresh_from_db()
    assert (plan.name, plan.slug, plan.per_minute) == ("Start", "agents-starter", 7)


def test_the_list_of_plans_leads_to_who_is_on_them(console, alice, charlie):
    answer = console.get("/admin/billing/plan/")
    plan = Plan.objects.get(slug="agents-enterprise")
    counts = {row.pk: row.company_count for row in answer.context["cl"].result_list}
    assert counts[plan.pk] == 2
    rows = console.get("/admin/billing/subscription/", {"plan__id__exact": plan.pk})
    assert len(rows.context["cl"].result_list) == 2
