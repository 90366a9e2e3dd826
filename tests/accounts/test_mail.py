"""Mail: a row first, then a message at a real SMTP server."""

import email
import email.policy
import re
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from aiosmtpd.controller import Controller
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Mail, MailedToken, Purpose
from accounts.services import mail as mails
from accounts.services.mail import (
    UselessTokenError,
    make_token,
    queue_asked_mail,
    queue_mail,
    send_due,
    spend_token,
)
from craft.leases import Status
from tests.factories import make_person
from tests.servers import free_port

TEMPLATES = sorted(
    path.stem
    for path in Path("accounts/templates/accounts/mail").glob("*.html")
    if path.stem != "base"
)


class Postman:
    """What a mail server was given, and what it says to it."""

    def __init__(self) -> None:
        self.received = []
        self.refusal = ""

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.received.append(
            email.message_from_bytes(envelope.content, policy=email.policy.default)
        )
        return "250 OK"


@pytest.fixture
def postman(settings):
    """A real SMTP server on loopback."""
    handler = Postman()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    yield handler
    controller.stop()


def write(**changes):
    token = make_token(purpose=Purpose.VERIFY_EMAIL, email="ada@example.com")
    fields = {"to": "ada@example.com", "template": "verify_email", "context": {}}
    return queue_mail(**{**fields, "token": token, **changes})


def later(**delta):
    return time_machine.travel(timezone.now() + timedelta(**delta))


def make_due():
    Mail.objects.update(next_attempt_at=Now())


# --- Sending ---


def test_a_mail_reaches_a_real_server_as_text_and_html(db, postman, settings):
    mail = write()
    assert send_due() == 1
    (message,) = postman.received
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Verify your e-mail address"
    assert message["From"] == settings.DEFAULT_FROM_EMAIL
    assert mail.pk in message["Message-ID"]
    link = f"{settings.PUBLIC_URL}/verify-email?token={mail.token.text}"
    for kind in ("plain", "html"):
        body = message.get_body((kind,)).get_content()
        assert link in body
        assert "Was it not you?" in body
    mail.refresh_from_db()
    assert (mail.status, mail.lease_owner) == (Status.COMPLETED, "")
    assert mail.sent_at


def test_what_was_sent_is_not_sent_again(db, postman):
    write()
    assert (send_due(), send_due()) == (1, 0)
    mails.sweep()
    assert len(postman.received) == 1


def test_a_change_that_is_undone_sends_nothing(db, postman):
    with transaction.atomic():
        write()
        transaction.set_rollback(True)
    assert send_due() == 0


def test_a_server_that_is_away_is_tried_again_later_and_later(db, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    write()
    pauses = []
    for _ in range(4):
        make_due()
        assert send_due() == 1
        mail = Mail.objects.get()
        assert mail.status == Status.WAITING
        assert "Refused" in mail.last_error
        pauses.append((mail.next_attempt_at - timezone.now()).total_seconds())
        assert send_due() == 0
    assert all(24 <= pauses[n] / 2**n <= 36 for n in range(4))


def test_a_mail_gets_through_when_the_server_is_back(db, postman):
    write()
    postman.refusal = "451 try later"
    send_due()
    assert Mail.objects.get().status == Status.WAITING
    postman.refusal = ""
    make_due()
    send_due()
    assert Mail.objects.get().status == Status.COMPLETED
    assert len(postman.received) == 1


def test_an_address_that_the_server_refuses_for_good_is_given_up(db, postman):
    write()
    postman.refusal = "550 no such mailbox"
    send_due()
    mail = Mail.objects.get()
    assert mail.status == Status.FAILED
    assert "550" in mail.last_error


def test_after_a_day_without_a_server_it_is_given_up(db, postman):
    write()
    postman.refusal = "451 try later"
    Mail.objects.update(refusals=mails.MAX_REFUSALS - 1)
    send_due()
    assert Mail.objects.get().status == Status.FAILED


def test_a_link_that_has_expired_is_not_sent(db, postman):
    write()
    MailedToken.objects.update(expires_at=timezone.now())
    send_due()
    assert Mail.objects.get().status == Status.CANCELLED
    assert not postman.received


def test_a_mail_whose_worker_died_is_sent_by_the_next_under_the_same_id(db, postman):
    write()
    send_due()
    Mail.objects.update(
        status=Status.RUNNING,
        attempts=1,
        lease_owner="elsewhere/1/dead",
        lease_expires_at=timezone.now() - timedelta(seconds=1),
    )
    mails.sweep()
    send_due()
    first, second = postman.received
    assert first["Message-ID"] == second["Message-ID"]
    assert Mail.objects.get().status == Status.COMPLETED


def test_a_worker_that_slept_through_its_lease_writes_nothing(db):
    mail = write()
    Mail.objects.update(status=Status.RUNNING, lease_epoch=2)
    assert not mail.finish(Status.COMPLETED)
    assert Mail.objects.get().status == Status.RUNNING


def test_a_template_that_can_not_be_rendered_is_told_apart_and_holds_nobody_up(
    db, postman
):
    broken = write(template="no_such_mail")
    write()
    assert send_due() == 2
    broken.refresh_from_db()
    assert (broken.status, broken.last_error) == (Status.FAILED, "TemplateDoesNotExist")
    assert len(postman.received) == 1


def test_without_a_server_mails_are_files(db, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    mail = write()
    send_due()
    (file,) = (tmp_path / "mail").iterdir()
    assert mail.token.text in file.read_text()


def test_old_mail_is_forgotten(db, postman):
    write()
    write(token=None)
    send_due()
    waiting = write(token=None)
    with later(days=40):
        mails.forget_old()
        assert list(Mail.objects.all()) == [waiting]
        assert not MailedToken.objects.exists()


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_has_a_subject_and_says_the_same_twice(db, template):
    context = {
        "new_email": "new@example.com",
        "state": "on",
        "company": "Example & Sons",
        "inviter": "Ada",
        "role": "member",
    }
    message = mails.render(write(template=template, context=context))
    assert 10 < len(message.subject) < 100
    (html, _), *_ = message.alternatives
    for text in (html, message.body):
        assert message.to[0] not in text  # it may be forwarded
        assert "{{" not in text
        assert "{%" not in text
    words = re.sub(r"<[^>]+>|&[#\w]+;", " ", html)
    for line in message.body.splitlines()[:1]:
        for word in re.findall(r"[A-Za-z]{4,}", line):
            assert word in words
    assert "prefers-color-scheme: dark" in html


# --- Asking for a mail ---


def test_who_has_the_address_is_asked_for_when_it_is_sent(db, postman):
    make_person(email="ada@example.com")
    queue_asked_mail(email=" ADA@example.com", purpose=Purpose.RESET_PASSWORD)
    queue_asked_mail(email="nobody@example.com", purpose=Purpose.RESET_PASSWORD)
    assert not MailedToken.objects.exists()
    assert send_due() == 2
    (message,) = postman.received
    assert message["To"] == "ada@example.com"
    assert MailedToken.objects.get().text in message.get_body(("plain",)).get_content()


def test_a_mailbox_is_not_flooded(db, postman):
    make_person(email="ada@example.com")
    for _ in range(5):
        queue_asked_mail(email="ada@example.com", purpose=Purpose.RESET_PASSWORD)
    send_due()
    assert len(postman.received) == 1
    with later(minutes=2):
        queue_asked_mail(email="ada@example.com", purpose=Purpose.RESET_PASSWORD)
        make_due()
        send_due()
    assert len(postman.received) == 2


def test_who_is_verified_needs_no_link_for_it(db, postman):
    make_person(email="ada@example.com", is_verified=True)
    queue_asked_mail(email="ada@example.com", purpose=Purpose.VERIFY_EMAIL)
    send_due()
    assert not postman.received


# --- Tokens ---


def test_a_token_is_good_once(db):
    text = make_token(purpose=Purpose.VERIFY_EMAIL, email="a@example.com").text
    assert spend_token(text, Purpose.VERIFY_EMAIL).email == "a@example.com"
    with pytest.raises(UselessTokenError):
        spend_token(text, Purpose.VERIFY_EMAIL)


def test_a_token_expires(db):
    text = make_token(purpose=Purpose.RESET_PASSWORD, email="a@example.com").text
    with later(minutes=61), pytest.raises(UselessTokenError):
        spend_token(text, Purpose.RESET_PASSWORD)


def test_a_token_is_good_for_its_purpose_only(db):
    text = make_token(purpose=Purpose.VERIFY_EMAIL, email="a@example.com").text
    with pytest.raises(UselessTokenError):
        spend_token(text, Purpose.RESET_PASSWORD)


@pytest.mark.parametrize(
    "odd",
    ["", ".", "x", "\0.x", "ü.ü", "{id}", "{id}.", "{id}.00", "{id}.ü", "x" * 500],
)
def test_a_text_that_is_no_token_is_refused(db, odd):
    token = make_token(purpose=Purpose.VERIFY_EMAIL, email="a@example.com")
    with pytest.raises(UselessTokenError):
        spend_token(
            odd.replace("{id}", token.pk.removeprefix("mt_")), Purpose.VERIFY_EMAIL
        )
    assert MailedToken.objects.get().is_good


def test_a_token_is_nowhere_at_rest(db):
    token = write().token
    identifier, _, proof = token.text.partition(".")
    assert len(proof) == 64
    kept = str(list(MailedToken.objects.values())) + str(list(Mail.objects.values()))
    assert identifier in kept
    assert proof not in kept


def test_what_a_token_was_spent_on_may_fail(db):
    text = make_token(purpose=Purpose.VERIFY_EMAIL, email="a@example.com").text
    with transaction.atomic():
        spend_token(text, Purpose.VERIFY_EMAIL)
        transaction.set_rollback(True)
    assert spend_token(text, Purpose.VERIFY_EMAIL)


# --- The console ---


@pytest.mark.parametrize("kept", [True, False])
def test_the_operator_reads_mails_and_their_links_only_where_nobody_else_gets_them(
    admin_client, settings, kept
):
    settings.MAIL_IS_KEPT = kept
    mail = write()
    listed = admin_client.get("/admin/accounts/mail/").content.decode()
    assert "Verify email" in listed
    page = admin_client.get(f"/admin/accounts/mail/{mail.pk}/change/").content.decode()
    assert "This address was used to sign up" in page
    assert (mail.token.text in page) is kept
