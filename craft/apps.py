import gc

from django.apps import AppConfig


class CraftConfig(AppConfig):
    name = "craft"

    def ready(self) -> None:
        # Tasks must belong to our app in every process, a shell's too; and the checks must be known before they are run.
        from craft import celery, checks  # noqa: F401
        from craft.api.idempotency import note_effect
        from craft.events import subscribe_to_all

        subscribe_to_all(note_effect)
        gc.freeze()  # what was loaded stays: nobody need look through it for garbage
        gc.enable()  # which manage.py puts off
