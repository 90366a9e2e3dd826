from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User, normalise_email
from accounts.services.two_factor import reset_two_factor
from craft.exceptions import DomainError


class Command(BaseCommand):
    help = "Turn off somebody's two-factor sign-in: for an operator who has lost the app and the recovery codes. Anybody else's is turned off in the console."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email=normalise_email(options["email"])).first()
        if user is None:
            raise CommandError(f"Nobody has the address {options['email']}.")
        try:
            reset_two_factor(user)
        except DomainError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"{user} signs in with the password alone.")
