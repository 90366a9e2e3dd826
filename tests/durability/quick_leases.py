"""An app for workers under test: their leases last two seconds, so that one is seen to run out without a long wait."""

from datetime import timedelta

from django.apps import AppConfig


class QuickLeases(AppConfig):
    name = "tests.durability"
    label = "quick_leases"

    def ready(self):
        from craft import leases  # noqa: PLC0415  # its models want ready apps

        leases.LEASE = timedelta(seconds=2)
        leases.RENEW_SECONDS = 0.5
