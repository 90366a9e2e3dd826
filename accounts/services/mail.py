"""Mail that leaves the platform: a row in the change's own transaction, sent by a worker.

A mail goes out at least once: after the server has taken it, and before that is written down, a process may die, and then it goes out again, under the
same Message-ID, by which mail programs know it for the same. Once it is written down it is never sent again.
"""

from __future__ import annotations

import logging
import random
import smtplib
from datetime import timedelta
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.utils import timezone

from accounts import tasks
from accounts.models import Mail, MailedToken, Purpose, User, normalise_email
from accounts.services.guesses import mailed_token
from craft import egress
from craft.exceptions import InvalidError
from craft.leases import MAX_LOST, Doorbell, Keeper, Status, claim, due, recover

logger = logging.getLogger("craft.mail")

LIFETIMES = {
    Purpose.VERIFY_EMAIL: timedelta(days=3),
    Purpose.RESET_PASSWORD: timedelta(hours=1),
    Purpose.CHANGE_EMAIL: timedelta(hours=24),
    Purpose.INVITATION: timedelta(days=7),
    Purpose.APPROVAL: timedelta(days=30),
}
PAGES = {
    Purpose.VERIFY_EMAIL: "/verify-email",
    Purpose.RESET_PASSWORD: "/reset-password",
    Purpose.CHANGE_EMAIL: "/change-email",
    Purpose.INVITATION: "/invitation",
    Purpose.APPROVAL: "/approval",
}
"""Where a mail's link leads; the token follows as `?token=`."""

BATCH = 20
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
MAX_REFUSALS = 24
"""A day or so of a mail server that can't be had."""
ASKED_AGAIN = timedelta(minutes=1)
"""Who asks for the same mail again within this time gets one: nobody's mailbox can be flooded by it."""
KEPT = timedelta(days=30)
PERMANENT = range(500, 600)


class UselessTokenError(InvalidError):
    """Wrong, spent or expired: whoever holds it learns no more than that."""

    code = "useless_token"


# --- Writing ---


def queue_mail(
    *,
    to: str,
    template: str,
    context: dict[str, Any],
    token: MailedToken | None = None,
) -> Mail:
    """Write a mail in the transaction at hand. `accounts/mail/<template>.txt` (its first line is the subject) and `.html` are rendered when it is sent,
    with `context`, which is kept and so holds no secret, and, where there is a token, with `link` and `token`."""
    egress.refuse_in_test_mode("Mail")
    mail = Mail.objects.create(
        to=to, template=template, context=context, token=token, next_attempt_at=Now()
    )
    doorbell.ring_on_commit()
    return mail


def queue_asked_mail(*, email: str, purpose: Purpose) -> None:
    """Write down that somebody who named this address asks for its mail. Costs the same whether or not anybody has the address: that is looked up by
    the worker."""
    egress.refuse_in_test_mode("Mail")
    Mail.objects.create(
        to=normalise_email(email),
        template=purpose,
        asks_for=purpose,
        next_attempt_at=Now(),
    )
    doorbell.ring_on_commit()


def make_token(
    *, purpose: Purpose, email: str, user: User | None = None, subject: str = ""
) -> MailedToken:
    return MailedToken.objects.create(
        purpose=purpose,
        email=email,
        user=user,
        subject=subject,
        expires_at=timezone.now() + LIFETIMES[purpose],
    )


def find_token(text: str, purpose: Purpose) -> MailedToken:
    """Raises UselessTokenError, and TooManyGuessesError where too many have been wrong."""
    guess = mailed_token()
    guess.check()
    token = MailedToken.find(text, purpose)
    if token is None:
        guess.note_wrong()
        raise useless(purpose)
    return token


def spend_token(text: str, purpose: Purpose) -> MailedToken:
    """As `find_token`. In a transaction: if what it was spent on fails, it is good again."""
    token = find_token(text, purpose)
    if not token.spend():
        raise useless(purpose)
    return token


def useless(purpose: Purpose) -> UselessTokenError:
    return UselessTokenError(
        "This link is wrong, was used before, or has expired. Ask for a new one.",
        details={"token": "Wrong, used before, or expired."},
    )


def end_tokens(user: User, *purposes: Purpose) -> None:
    """What was mailed for these purposes is good for nothing any more."""
    MailedToken.objects.filter(user=user, purpose__in=purposes, used_at=None).update(
        used_at=timezone.now()
    )


# --- Rendering ---


def render(mail: Mail) -> EmailMultiAlternatives:
    context = {
        "public_url": settings.PUBLIC_URL,
        "host": settings.PUBLIC_URL.partition("://")[2],
        **mail.context,
    }
    if mail.token is not None:
        text = mail.token.text
        path = PAGES[Purpose(mail.token.purpose)]
        context["token"] = text
        context["link"] = f"{settings.PUBLIC_URL}{path}?{urlencode({'token': text})}"
        context["expires_at"] = mail.token.expires_at
    subject, _, body = render_to_string(
        f"accounts/mail/{mail.template}.txt", context
    ).partition("\n")
    context["subject"] = subject
    message = EmailMultiAlternatives(
        subject=subject,
        body=body.lstrip(),
        to=[mail.to],
        headers={
            "Message-ID": message_id(mail),
            "Auto-Submitted": "auto-generated",
        },
    )
    html = render_to_string(f"accounts/mail/{mail.template}.html", context)
    message.attach_alternative(html, "text/html")
    return message


def message_id(mail: Mail) -> str:
    """Always the same for the same mail."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{mail.pk}@{domain or 'localhost'}>"


# --- Sending ---


def send_due() -> int:
    """Send what is due, one after the other; how many were dealt with."""
    number = 0
    with keeper.holding():
        while number < BATCH and (mail := _claim_one()):
            held.add(mail.pk)
            try:
                _send(mail)
            finally:
                held.discard(mail.pk)
            number += 1
    if number == BATCH:
        doorbell.ring()
    return number


def sweep() -> None:
    for mail in recover(Mail):
        mail.finish(Status.FAILED, last_error="Its worker was lost, again and again.")
    if due(Mail).exists():
        doorbell.ring()


def forget_old() -> None:
    """Who was written to, and of what, is nobody's business for ever."""
    before = timezone.now() - KEPT
    Mail.objects.filter(
        status__in=[Status.COMPLETED, Status.CANCELLED, Status.FAILED],
        created_at__lt=before,
    ).delete()
    MailedToken.objects.filter(expires_at__lt=before, mails=None).delete()


def _claim_one() -> Mail | None:
    for lost in range(MAX_LOST):
        if found := claim(Mail, limit=1, lost=lost):
            return found[0]
    return None


def _send(mail: Mail) -> None:
    try:
        if not _is_wanted(mail):
            mail.finish(Status.CANCELLED)
            return
        message = render(mail)
        message.connection = get_connection()
        message.send()
    except (smtplib.SMTPException, OSError) as error:
        _note_refusal(mail, error)
    except Exception as error:
        logger.exception("mail %s can't be made", mail.pk)
        mail.finish(Status.FAILED, last_error=type(error).__name__)
    else:
        if not mail.finish(Status.COMPLETED, sent_at=timezone.now(), last_error=""):
            logger.warning("mail %s was taken over while it was sent", mail.pk)


def _is_wanted(mail: Mail) -> bool:
    """Whether it is still to be sent; and for one that was asked for, whether there is anybody to send it to."""
    if mail.asks_for:
        return _find_addressee(mail)
    return not mail.is_expired


def _find_addressee(mail: Mail) -> bool:
    user = User.objects.filter(email=mail.to, is_active=True).first()
    is_needless = mail.asks_for == Purpose.VERIFY_EMAIL and user and user.is_verified
    if user is None or is_needless or _was_sent_lately(mail):
        return False
    if mail.token is None:
        mail.token = make_token(
            purpose=Purpose(mail.asks_for), email=mail.to, user=user
        )
        mail.save(update_fields=["token"])
    return not mail.is_expired


def _was_sent_lately(mail: Mail) -> bool:
    others = Mail.objects.filter(
        to=mail.to, template=mail.template, status=Status.COMPLETED
    ).exclude(pk=mail.pk)
    return others.filter(
        sent_at__gt=mail.created_at - ASKED_AGAIN, created_at__lte=mail.created_at
    ).exists()


def _note_refusal(mail: Mail, error: Exception) -> None:
    reason = _reason(error)
    if _is_permanent(error) or mail.refusals + 1 >= MAX_REFUSALS:
        logger.error("mail %s is given up: %s", mail.pk, reason)
        mail.finish(Status.FAILED, last_error=reason)
        return
    pause = min(FIRST_PAUSE * 2**mail.refusals, LONGEST_PAUSE)
    pause *= random.uniform(0.8, 1.2)  # noqa: S311  # no secret: so that mails held up together don't come back together
    logger.warning("mail %s could not be sent, trying again: %s", mail.pk, reason)
    mail.postpone(timezone.now() + pause, reason)


def _is_permanent(error: Exception) -> bool:
    """The server will not have this mail, now or later. That it does not know us may be mended by the operator."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return False
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code in PERMANENT for code, _ in error.recipients.values())
    return (
        isinstance(error, smtplib.SMTPResponseException)
        and error.smtp_code in PERMANENT
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]


held: set[str] = set()
doorbell = Doorbell(tasks.send_due_mail.delay)
keeper = Keeper(Mail, held=lambda: list(held), on_tick=lambda: None, tick_seconds=1.0)
