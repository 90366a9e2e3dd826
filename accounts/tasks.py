"""Celery's entries. A message is a nudge: what is to be done stands in rows, so any of these may run twice, or never."""

from celery import shared_task


@shared_task(name="accounts.tasks.send_due_mail")
def send_due_mail() -> None:
    from accounts.services import mail

    mail.send_due()


@shared_task(name="accounts.tasks.forget_what_is_over")
def forget_what_is_over() -> None:
    from accounts.services import mail, sessions, two_factor

    mail.forget_old()
    sessions.forget_old_sessions()
    two_factor.forget_unconfirmed()


def sweep() -> None:
    """Called every two seconds in each worker process; see `settings.CRAFT_SWEEPS`."""
    from accounts.services import mail

    mail.sweep()


@shared_task(name="accounts.tasks.write_key_uses")
def write_key_uses(*, uses: dict[str, str]) -> None:
    from accounts.services import keys

    keys.write_uses(uses)
