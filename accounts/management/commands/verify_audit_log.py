from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Company
from accounts.services.audit import Verification, verify_audit_log


class Command(BaseCommand):
    help = "Read the audit log of a company, or of all, and say whether every entry is there as it was written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "company", nargs="?", type=int, help="The company's id; all without it."
        )
        parser.add_argument(
            "--anchor",
            metavar="PLACE:LINK",
            help="What an earlier run printed and you kept elsewhere: it must still be there.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        anchor = read_anchor(options["anchor"])
        if anchor and options["company"] is None:
            raise CommandError("An anchor belongs to one company: name it.")
        companies = Company.objects.order_by("pk")
        if options["company"] is not None:
            companies = companies.filter(pk=options["company"])
            if not companies.exists():
                raise CommandError(f"There is no company {options['company']}.")
        results = [verify_audit_log(company, anchor=anchor) for company in companies]
        for result in results:
            self.report(result)
        if not all(result.is_whole for result in results):
            raise CommandError("The audit log is not as it was written.")

    def report(self, result: Verification) -> None:
        state = "whole" if result.is_whole else "NOT WHOLE"
        place = f"{result.sequence}:{result.link}" if result.sequence else "none"
        self.stdout.write(
            f"company {result.company_id}: {state}; {result.checked} entries, {result.erased} of them erased, {result.unsealed} not sealed yet; ends at {place}"
        )
        for fault in result.faults:
            self.stderr.write(f"  {fault}")


def read_anchor(text: str | None) -> tuple[int, str] | None:
    if not text:
        return None
    place, _, link = text.partition(":")
    if not (place.isdigit() and link):
        raise CommandError("An anchor reads PLACE:LINK, as an earlier run printed it.")
    return int(place), link
