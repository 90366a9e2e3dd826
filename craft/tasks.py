from celery import shared_task


@shared_task(name="craft.tasks.clean_up")
def clean_up() -> None:
    from craft import files
    from craft.api import idempotency

    idempotency.forget_old_answers()
    files.finish_removals()
