"""`manage.py set_plan COMPANY PLAN`."""

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from billing.models import Subscription
from craft.events import Actor, acting
from tests.factories import make_company


def plan_of(company):
    return Subscription.objects.for_company(company).get().plan.slug


def test_a_company_is_named_by_its_id_or_its_name(db, capsys):
    company = make_company(name="Acme Ltd")
    call_command("set_plan", str(company.pk), "agents-growth")
    assert plan_of(company) == "agents-growth"
    with acting(Actor()):  # as in a shell, where nobody is signed in
        call_command("set_plan", "acme ltd", "automation-pro")
    assert plan_of(company) == "automation-pro"
    assert "Acme Ltd" in capsys.readouterr().out
    entry = AuditEntry.objects.for_company(company).latest("pk")
    assert entry.changes["plan"] == ["agents-growth", "automation-pro"]
    assert entry.user_id == ""


def test_a_plan_that_is_set_again_is_no_change(db):
    company = make_company()
    call_command("set_plan", str(company.pk), "agents-growth")
    before = AuditEntry.objects.for_company(company).count()
    call_command("set_plan", str(company.pk), "agents-growth")
    assert AuditEntry.objects.for_company(company).count() == before


def test_what_can_not_be_understood_is_said(db, capsys):
    for _ in range(2):
        company = make_company(name="Twice")
    for given, sentence in (
        ([], "Say: manage.py set_plan"),
        ([str(company.pk)], "Say: manage.py set_plan"),
        ([str(company.pk), "gold"], "agents-starter"),
        (["nobody", "agents-growth"], "no company with the id or the name 'nobody'"),
        (["999999", "agents-growth"], "no company"),
        (["Twice", "agents-growth"], "More than one company"),
    ):
        with pytest.raises(CommandError, match=sentence):
            call_command("set_plan", *given)
    assert "agents-growth" in capsys.readouterr().out
