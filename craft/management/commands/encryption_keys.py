from typing import Any

from django.core.management.base import BaseCommand

from craft.vault import write_ring


class Command(BaseCommand):
    help = "Print the keys that this installation seals and marks with, as CRAFT_ENCRYPTION_KEYS takes them. They are secret. Set them before CRAFT_SECRET_KEY changes."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(write_ring())
