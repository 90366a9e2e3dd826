"""Celery's entries. A message is a nudge: what is to be done stands in rows, so any of these may run twice, or never."""

from celery import shared_task


@shared_task(name="workflows.tasks.run_due_executions")
def run_due_executions() -> None:
    from workflows.services import executions

    executions.run_due()


@shared_task(name="workflows.tasks.fire_due_schedules")
def fire_due_schedules() -> None:
    from workflows.services import schedules

    schedules.fire_due_schedules()


@shared_task(name="workflows.tasks.forget_old_executions")
def forget_old_executions() -> None:
    from workflows.services import retention

    retention.forget_old_executions()


def sweep() -> None:
    """Called every two seconds in each worker process; see `settings.CRAFT_SWEEPS`."""
    from workflows.services import executions

    executions.sweep()


@shared_task(name="workflows.tasks.forget_what_was_seen")
def forget_what_was_seen() -> None:
    from workflows.services import seen

    seen.forget_expired()
