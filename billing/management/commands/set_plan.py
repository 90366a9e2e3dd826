from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Company
from billing.models import Plan
from billing.services import set_plan
from craft.exceptions import DomainError


class Command(BaseCommand):
    help = "Put a company on a plan. Without both, say which plans there are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("company", nargs="?", help="The company's id or its name.")
        parser.add_argument("plan", nargs="?", help="The plan, such as agents-growth.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["company"] or not options["plan"]:
            self.stdout.write(known_plans())
            raise CommandError("Say: manage.py set_plan COMPANY PLAN")
        company = find_company(options["company"])
        try:
            subscription = set_plan(company=company, slug=options["plan"])
        except DomainError as error:
            raise CommandError(error.message) from None
        self.stdout.write(
            f"{company} (company {company.pk}) is on {subscription.plan}. Other processes know within seconds."
        )


def find_company(text: str) -> Company:
    """By its id, or else by its name, if only one has it."""
    if text.isdecimal() and len(text) < 19:
        found = Company.objects.filter(pk=int(text)).first()
        if found:
            return found
    named = list(Company.objects.filter(name__iexact=text).order_by("pk")[:5])
    if len(named) > 1:
        ids = ", ".join(str(company.pk) for company in named)
        raise CommandError(
            f"More than one company is called {text!r}: name its id ({ids})."
        )
    if not named:
        raise CommandError(f"There is no company with the id or the name {text!r}.")
    return named[0]


def known_plans() -> str:
    lines = [f"  {plan.slug:24} {plan}" for plan in Plan.objects.all()]
    return "\n".join(["Plans:", *lines])
