"""The documents' plans, as one table."""

import pytest
from django.utils import timezone

from accounts.models import Company
from billing.models import Plan, Subscription
from billing.services import get_windows, set_plan, windows_of
from craft.api.limits import Window
from craft.exceptions import NotFoundError

DOCUMENTED = {
    "pipelines-builder": {"minute": (60, 100)},
    "pipelines-scale": {"minute": (300, 500)},
    "agents-starter": {"hour": (1_000, 1_000)},
    "agents-growth": {"hour": (10_000, 10_000)},
    "compliance-starter": {"minute": (100, 150)},
    "compliance-pro": {"minute": (500, 750)},
    "automation-free": {"minute": (60, 60), "day": (1_000, 1_000)},
    "automation-starter": {"minute": (120, 120), "day": (10_000, 10_000)},
    "automation-pro": {"minute": (300, 300), "day": (50_000, 50_000)},
    "automation-business": {"minute": (600, 600), "day": (200_000, 200_000)},
}


@pytest.mark.parametrize(("slug", "windows"), DOCUMENTED.items())
def test_a_plan_has_the_documented_limits(db, slug, windows):
    plan = Plan.objects.get(slug=slug)
    assert windows_of(plan) == [
        Window(period, limit, burst) for period, (limit, burst) in windows.items()
    ]


@pytest.mark.parametrize(
    "slug", ["pipelines-enterprise", "agents-enterprise", "compliance-enterprise"]
)
def test_enterprise_has_no_limit_until_an_operator_sets_one(db, slug):
    plan = Plan.objects.get(slug=slug)
    assert windows_of(plan) == []
    plan.per_minute = 7
    assert windows_of(plan) == [Window("minute", 7, 7)]


def test_only_the_free_compliance_plan_has_no_api(db):
    without = Plan.objects.filter(has_api_access=False)
    assert [plan.slug for plan in without] == ["compliance-free"]


def test_a_company_has_one_plan(db):
    company = Company.objects.create(name="Acme")
    set_plan(company=company, slug="automation-free")
    set_plan(company=company, slug="automation-pro")
    subscription = Subscription.objects.for_company(company).get()
    assert subscription.plan.slug == "automation-pro"
    assert subscription.updated_at <= timezone.now()


def test_a_new_plan_counts_at_once(db):
    company = Company.objects.create(name="Acme")
    set_plan(company=company, slug="automation-free")
    assert get_windows(company)[0].limit == 60
    set_plan(company=company, slug="automation-pro")
    assert get_windows(company)[0].limit == 300


def test_asking_for_windows_again_asks_no_database(db, django_assert_num_queries):
    company = Company.objects.create(name="Acme")
    set_plan(company=company, slug="automation-free")
    get_windows(company)
    with django_assert_num_queries(0):
        get_windows(company)


def test_an_unknown_plan_is_refused_with_the_known_ones(db):
    company = Company.objects.create(name="Acme")
    with pytest.raises(NotFoundError, match="agents-starter"):
        set_plan(company=company, slug="gold")
