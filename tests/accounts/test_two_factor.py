"""Two-factor sign-in: what it asks for, of whom, and that nothing goes round it."""

import json
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from threading import Barrier

import pytest
import time_machine
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pyotp import TOTP

from accounts.models import (
    AuditEntry,
    Invitation,
    Mail,
    Purpose,
    RecoveryCode,
    Session,
    TwoFactor,
    User,
)
from accounts.services import invitations, two_factor
from accounts.services.mail import make_token, render
from accounts.services.people import delete_account, reset_password
from accounts.services.privacy import export_person
from accounts.services.sign_in import HALF_WAY_FOR
from accounts.tasks import forget_what_is_over
from craft.models import KeptAnswer
from tests.factories import PASSWORD, make_company, make_key, make_person
from tests.factories import make_token as make_access_token

LOGIN = "/api/v1/auth/login"
OWN = "/api/v1/account/two-factor"
ELSEWHERE = "203.0.113.9"
NEW = "another good sentence"


@pytest.fixture(autouse=True)
def _middle_of_a_step():
    """So that what an app shows does not change while a test looks at it."""
    now = time.time()
    with time_machine.travel(now - now % 30 + 5):
        yield


@pytest.fixture
def ada(db):
    """Somebody with a password."""
    person = make_person(email="ada@example.com", full_name="Ada Lovelace")
    person.user.set_password(PASSWORD)
    person.user.save()
    return person


class App:
    """An authenticator app on somebody's telephone."""

    def __init__(self, secret):
        self.totp = TOTP(secret)

    def code(self, *, steps=0):
        """What it shows now, or by a clock that is so many steps off."""
        return self.totp.at(time.time(), counter_offset=steps)


@pytest.fixture
def app(ada):
    """Ada's, with two-factor sign-in on. Its next code is still good."""
    begun = two_factor.begin_two_factor(user=ada.user, password=PASSWORD)
    app = App(begun.secret)
    app.recovery_codes = two_factor.confirm_two_factor(
        user=ada.user, code=app.code(steps=-1)
    )
    return app


@pytest.fixture
def signed_in(ada, api):
    """Ada calls, signed in and not by a key."""
    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_access_token(ada)}")
    return client


@pytest.fixture
def log_in(api):
    client = api()

    def send(address="127.0.0.1", **body):
        body = {"email": "ada@example.com", "password": PASSWORD, **body}
        return client.post(LOGIN, body, REMOTE_ADDR=address)

    return send


def outcome(answer):
    return answer.status_code, answer.json().get("code")


def events_of(person):
    rows = AuditEntry.objects.for_company(person.company).order_by("pk")
    return [row.type for row in rows if row.type.startswith("user.")]


def mails():
    return [mail.template for mail in Mail.objects.order_by("pk")]


# --- On and off ---


def test_it_is_turned_on_by_a_code_that_the_app_makes(signed_in, ada, log_in):
    assert signed_in.get(OWN).json() == {
        "two_factor": {
            "is_enabled": False,
            "enabled_at": None,
            "recovery_codes_left": 0,
        }
    }
    begun = signed_in.post(OWN, {"password": PASSWORD}).json()
    assert begun["otpauth_uri"].startswith("otpauth://totp/Craft:ada%40example.com?")
    assert begun["secret"] in begun["otpauth_uri"]
    assert log_in().status_code == 200, "nothing is asked for before it is confirmed"

    app = App(begun["secret"])
    answer = signed_in.post(f"{OWN}/confirm", {"code": app.code()})
    codes = answer.json()["recovery_codes"]
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"[2-9a-z]{5}-[2-9a-z]{5}", code) for code in codes)
    state = signed_in.get(OWN).json()["two_factor"]
    assert (state["is_enabled"], state["recovery_codes_left"]) == (True, 10)
    assert state["enabled_at"].endswith("Z")
    assert outcome(log_in()) == (401, "TWO_FACTOR_REQUIRED")
    assert log_in(code=app.code(steps=1)).status_code == 200
    assert events_of(ada) == ["user.two_factor_begun", "user.two_factor_enabled"]
    assert mails() == ["two_factor_enabled"]


def test_to_begin_takes_the_password(signed_in, ada):
    answer = signed_in.post(OWN, {"password": "wrong"})
    assert outcome(answer) == (400, "INVALID_REQUEST")
    assert answer.json()["details"] == {"password": "Wrong."}
    assert not TwoFactor.objects.exists()


def test_a_wrong_code_confirms_nothing(signed_in, ada):
    secret = signed_in.post(OWN, {"password": PASSWORD}).json()["secret"]
    answer = signed_in.post(f"{OWN}/confirm", {"code": wrong(App(secret))})
    assert outcome(answer) == (400, "INVALID_REQUEST")
    assert "code" in answer.json()["details"]
    assert not two_factor.is_enabled(ada.user)


def test_a_set_up_that_is_begun_anew_takes_the_place_of_the_first(signed_in, ada):
    first, second = (
        App(signed_in.post(OWN, {"password": PASSWORD}).json()["secret"])
        for _ in range(2)
    )
    assert signed_in.post(f"{OWN}/confirm", {"code": first.code()}).status_code == 400
    assert signed_in.post(f"{OWN}/confirm", {"code": second.code()}).status_code == 200


def test_a_set_up_waits_half_an_hour(signed_in, ada):
    secret = signed_in.post(OWN, {"password": PASSWORD}).json()["secret"]
    TwoFactor.objects.update(begun_at=timezone.now() - timedelta(minutes=31))
    answer = signed_in.post(f"{OWN}/confirm", {"code": App(secret).code()})
    assert outcome(answer) == (409, "CONFLICT")
    forget_what_is_over()
    assert not TwoFactor.objects.exists()


def test_what_is_on_is_not_begun_or_confirmed_again(signed_in, app):
    assert signed_in.post(OWN, {"password": PASSWORD}).status_code == 409
    again = signed_in.post(f"{OWN}/confirm", {"code": app.code()})
    assert again.status_code == 409
    forget_what_is_over()
    assert TwoFactor.objects.enabled().exists()


def test_turning_it_off_takes_the_password_and_a_code(signed_in, ada, app, log_in):
    def disable(**body):
        return signed_in.post(f"{OWN}/disable", body)

    assert disable(password=PASSWORD).json()["details"].keys() == {"code"}
    assert disable(password="wrong", code=app.code()).status_code == 400
    refused = disable(password=PASSWORD, code=wrong(app))
    assert refused.json()["details"].keys() == {"code"}
    assert two_factor.is_enabled(ada.user)
    assert disable(password=PASSWORD, code=app.code()).status_code == 200
    assert not TwoFactor.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert log_in().status_code == 200
    assert events_of(ada)[-1] == "user.two_factor_disabled"
    assert mails()[-1] == "two_factor_disabled"
    assert disable(password=PASSWORD, code="123456").status_code == 409


def test_new_recovery_codes_end_the_old_ones(signed_in, ada, app, log_in):
    body = {"password": PASSWORD, "code": app.code()}
    codes = signed_in.post(f"{OWN}/recovery-codes", body).json()["recovery_codes"]
    assert not set(codes) & set(app.recovery_codes)
    assert outcome(log_in(code=app.recovery_codes[0])) == (401, "WRONG_CODE")
    assert log_in(code=codes[0]).status_code == 200
    assert "user.recovery_codes_renewed" in events_of(ada)
    assert "recovery_codes_renewed" in mails()


def test_a_key_is_no_person(api, ada, app):
    client = api(ada)
    assert client.get(OWN).status_code == 200
    for path in ("", "/confirm", "/disable", "/recovery-codes"):
        assert client.post(OWN + path, {}).status_code == 403


# --- Signing in by the API ---


def wrong(app):
    """Six digits that are no code of these minutes."""
    good = {app.code(steps=steps) for steps in range(-3, 4)}
    return next(code for code in map("{:06}".format, range(10)) if code not in good)


def test_that_a_code_is_wanted_is_said_to_who_knows_the_password_alone(log_in, app):
    known = log_in(password="wrong")
    unknown = log_in(email="nobody@example.com", password="wrong")
    assert outcome(known) == outcome(unknown) == (401, "UNAUTHORIZED")
    assert known.json()["message"] == unknown.json()["message"]
    with_code = log_in(password="wrong", code=app.code())
    assert with_code.json()["message"] == known.json()["message"]
    assert log_in(code=app.code()).status_code == 200, "the code was not spent by that"


def test_both_base_paths_say_what_is_wanted(api, app):
    body = {"email": "ada@example.com", "password": PASSWORD}
    answer = api().post("/v1/auth/login", body)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "TWO_FACTOR_REQUIRED"
    answer = api().post("/v1/auth/login", {**body, "code": wrong(app)})
    assert answer.json()["error"]["code"] == "WRONG_CODE"


def test_a_code_is_good_once_and_so_is_none_before_it(log_in, app):
    code, earlier = app.code(steps=1), app.code()
    assert log_in(code=code).status_code == 200
    assert outcome(log_in(code=code)) == (401, "WRONG_CODE")
    assert outcome(log_in(code=earlier)) == (401, "WRONG_CODE")
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        assert log_in(code=app.code()).status_code == 200


def test_the_code_that_confirmed_it_signs_nobody_in(ada, log_in):
    app = App(two_factor.begin_two_factor(user=ada.user, password=PASSWORD).secret)
    code = app.code()
    two_factor.confirm_two_factor(user=ada.user, code=code)
    assert outcome(log_in(code=code)) == (401, "WRONG_CODE")


@pytest.mark.parametrize(
    ("steps", "status"), [(-2, 401), (-1, 200), (1, 200), (2, 401)]
)
def test_a_clock_may_be_off_by_one_step(ada, log_in, steps, status):
    app = App(two_factor.begin_two_factor(user=ada.user, password=PASSWORD).secret)
    two_factor.confirm_two_factor(user=ada.user, code=app.code())
    later = timezone.now() + timedelta(minutes=5)
    with time_machine.travel(later, tick=False):
        assert log_in(code=app.code(steps=steps)).status_code == status


def test_a_code_is_read_as_people_type_it(log_in, app):
    code, recovery = app.code(), app.recovery_codes[0]
    assert log_in(code=f" {code[:3]} {code[3:]}").status_code == 200
    assert log_in(code=f"{recovery.upper()} ").status_code == 200
    assert log_in(code=app.recovery_codes[1].replace("-", "")).status_code == 200


@pytest.mark.parametrize(
    "code",
    ["0", "\uff11\uff12\uff13\uff14\uff15\uff16", "٣", "-", " ", "x" * 40, "é" * 6],
)
def test_what_is_no_code_is_wrong(log_in, app, code):
    assert outcome(log_in(code=code))[0] == 401


def test_a_recovery_code_is_good_once_and_told(log_in, ada, app):
    code = app.recovery_codes[3]
    assert log_in(code=code).status_code == 200
    again = log_in(code=code)
    assert outcome(again) == (401, "WRONG_CODE")
    assert again.json()["message"] == two_factor.WRONG_RECOVERY_CODE
    assert two_factor.state_of(ada.user).recovery_codes_left == 9
    (entry,) = AuditEntry.objects.for_company(ada.company).filter(
        type="user.recovery_code_used"
    )
    assert (entry.user_id, entry.data["recovery_codes_left"]) == (ada.user.pk, 9)
    mail = Mail.objects.get(template="recovery_code_used")
    assert "9 are left" in render(mail).body


def test_anothers_recovery_code_is_wrong(log_in, app, db):
    eve = make_person(email="eve@example.com")
    eve.user.set_password(PASSWORD)
    eve.user.save()
    hers = App(two_factor.begin_two_factor(user=eve.user, password=PASSWORD).secret)
    codes = two_factor.confirm_two_factor(user=eve.user, code=hers.code())
    assert outcome(log_in(code=codes[0])) == (401, "WRONG_CODE")
    assert outcome(log_in(code=hers.code())) == (401, "WRONG_CODE")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_of_many_at_once_with_the_same_code_one_gets_in(log_in, ada, app, kind):
    code = app.code() if kind == "app" else app.recovery_codes[0]
    number = 6
    together = Barrier(number)

    def attempt(_):
        together.wait()
        try:
            return log_in(code=code).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        statuses = sorted(pool.map(attempt, range(number)))
    assert statuses == [200] + [401] * (number - 1)
    assert Session.objects.filter(user=ada.user).count() == 1


# --- Guessing ---


def test_guessed_codes_are_slowed_and_the_owner_gets_in_from_home(log_in, ada, app):
    assert log_in(code=app.code()).status_code == 200  # home is known from now on
    guess = wrong(app)
    statuses = [log_in(ELSEWHERE, code=guess).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    right = app.code(steps=1)
    refused = log_in(ELSEWHERE, code=right)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert log_in(code=right).status_code == 200


def test_recovery_codes_are_guessed_no_faster(log_in, app):
    statuses = [
        log_in(ELSEWHERE, code=f"aaaaa-aaaa{number}").status_code
        for number in range(2, 13)
    ]
    assert statuses == [401] * 10 + [429]


def test_wrong_passwords_do_not_slow_codes(log_in, ada, app):
    for number in range(12):
        log_in(ELSEWHERE, password=f"wrong {number}", code="000000")
    two_factor.check_code(ada.user, app.code())


def test_who_holds_a_token_guesses_no_faster(signed_in, ada, app):
    body = {"password": PASSWORD, "code": wrong(app)}
    statuses = [
        signed_in.post(f"{OWN}/disable", body, REMOTE_ADDR="198.51.100.23").status_code
        for _ in range(11)
    ]
    assert statuses == [400] * 10 + [429]


# --- Nothing goes round it ---


def test_a_new_password_by_mail_does_not_go_round_it(log_in, ada, app):
    token = make_token(
        purpose=Purpose.RESET_PASSWORD, email=ada.user.email, user=ada.user
    )
    reset_password(token=token.text, password=NEW)
    assert two_factor.is_enabled(User.objects.get(pk=ada.user.pk))
    assert outcome(log_in(password=NEW)) == (401, "TWO_FACTOR_REQUIRED")
    assert log_in(password=NEW, code=app.code()).status_code == 200


def test_an_invitation_that_is_accepted_by_password_opens_no_session(api, ada, app):
    other = make_person(company=make_company())
    invitations.invite(
        company=other.company, user=other.user, email=ada.user.email, role="member"
    )
    invitation = Invitation.unscoped.get(email=ada.user.email)
    token = Mail.objects.get(template="invitation").token.text
    body = {"token": token, "password": PASSWORD}
    answer = api().post("/api/v1/invitations/accept", body)
    assert answer.status_code == 200
    assert (answer.json()["token"], answer.json()["refresh_token"]) == (None, None)
    invitation.refresh_from_db()
    assert invitation.accepted_at
    assert not Session.objects.filter(user=ada.user).exists()


def test_a_code_counts_for_nothing_where_it_is_off(log_in, ada):
    assert log_in(code="123456").status_code == 200


# --- Pages ---


@pytest.fixture
def browser():
    return Client()


def sign_in(browser, next_page=""):
    form = {"email": "ada@example.com", "password": PASSWORD, "next": next_page}
    return browser.post("/login", form)


def is_in(browser):
    return browser.get("/settings/profile").status_code == 200


def test_a_browser_is_asked_for_the_code_on_a_page_of_its_own(browser, app):
    answer = sign_in(browser, "/settings/sessions")
    assert answer["Location"] == "/login/code?next=%2Fsettings%2Fsessions"
    assert not is_in(browser)
    page = browser.get(answer["Location"])
    assert "ada@example.com" in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    wrong_one = browser.post(answer["Location"], {"code": wrong(app)})
    assert wrong_one.status_code == 422
    assert 'aria-invalid="true"' in wrong_one.content.decode()
    assert not is_in(browser)
    done = browser.post(
        answer["Location"], {"code": app.code(), "next": "/settings/sessions"}
    )
    assert done["Location"] == "/settings/sessions"
    assert is_in(browser)
    assert browser.get("/login/code")["Location"].startswith("/login?")


def test_a_recovery_code_signs_a_browser_in(browser, app):
    sign_in(browser)
    page = browser.get("/login/code?recovery=yes")
    assert "Recovery code" in page.content.decode()
    answer = browser.post(
        "/login/code?recovery=yes",
        {"code": app.recovery_codes[0], "next": "https://evil.example.com/"},
    )
    assert answer["Location"] == "/"
    assert is_in(browser)


def test_half_way_in_lasts_ten_minutes(browser, app):
    sign_in(browser)
    with time_machine.travel(timezone.now() + HALF_WAY_FOR + timedelta(seconds=1)):
        answer = browser.post("/login/code", {"code": app.code()})
        assert answer["Location"].startswith("/login")
        assert not is_in(browser)


def test_half_way_in_ends_with_the_password(browser, ada, app):
    sign_in(browser)
    ada.user.set_password(NEW)
    ada.user.save()
    answer = browser.post("/login/code", {"code": app.code()})
    assert answer["Location"].startswith("/login")
    assert not is_in(browser)


def test_half_way_in_is_of_one_browser(browser, app):
    """And opens no call of the API."""
    sign_in(browser)
    assert browser.get("/api/v1/auth/me").status_code == 401
    other = Client()
    answer = other.post("/login/code", {"code": app.code()})
    assert answer["Location"].startswith("/login")


def test_another_session_key_is_given_at_each_half(browser, app):
    browser.get("/login")
    sign_in(browser)
    half = browser.cookies["sessionid"].value
    browser.post("/login/code", {"code": app.code()})
    assert browser.cookies["sessionid"].value != half


def test_pages_turn_it_on_and_off(browser, ada):
    sign_in(browser)
    assert "Turn on" in browser.get("/settings/sign-in").content.decode()
    assert browser.post("/settings/two-factor", {"password": "no"}).status_code == 200
    page = browser.post("/settings/two-factor", {"password": PASSWORD})
    shown = page.content.decode()
    assert '<svg viewBox="0 0 ' in shown
    assert "style=" not in shown, "the policy of pages would refuse it"
    secret = page.context["secret"].replace(" ", "")
    app = App(secret)

    again = browser.post("/settings/two-factor/confirm", {"code": wrong(app)})
    assert page.context["secret"] in again.content.decode()
    assert 'aria-invalid="true"' in again.content.decode()
    on = browser.post("/settings/two-factor/confirm", {"code": app.code(steps=-1)})
    codes = on.context["codes"]
    assert all(on.content.decode().count(code) == 2 for code in codes)  # and the file
    overview = browser.get("/settings/sign-in").content.decode()
    assert "10 recovery codes left" in overview
    assert not any(text in overview for text in (*codes, secret))

    form = {"password": PASSWORD, "code": app.code()}
    renewed = browser.post("/settings/two-factor/recovery-codes", form)
    assert not set(renewed.context["codes"]) & set(codes)
    off = browser.post("/settings/two-factor/disable", {**form, "code": wrong(app)})
    assert 'aria-invalid="true"' in off.content.decode()
    off = browser.post(
        "/settings/two-factor/disable", {**form, "code": app.code(steps=1)}
    )
    assert off["Location"] == "/settings/sign-in"
    assert not two_factor.is_enabled(ada.user)


def test_what_is_on_is_not_set_up_again_by_a_page(browser, app):
    sign_in(browser)
    browser.post("/login/code", {"code": app.code()})
    assert browser.get("/settings/two-factor")["Location"] == "/settings/sign-in"
    late = browser.post("/settings/two-factor/confirm", {"code": "000000"})
    assert late["Location"] == "/settings/two-factor"


# --- The console ---


@pytest.fixture
def olive(ada):
    """Ada operates the installation, too."""
    User.objects.filter(pk=ada.user.pk).update(is_staff=True, is_superuser=True)
    return ada


CONSOLE = "/admin/login/?next=/admin/"
PASSED = {"username": "ada@example.com", "password": PASSWORD}


def test_the_console_asks_for_the_code_too(browser, olive, app):
    first = browser.post(CONSOLE, PASSED)
    assert first.status_code == 200
    assert 'name="code"' in first.content.decode()
    assert 'name="password"' not in first.content.decode()
    assert "manage.py turn_off_two_factor" in first.content.decode()
    assert "_auth_user_id" not in browser.session
    assert browser.get("/admin/").status_code == 302
    refused = browser.post(CONSOLE, {"code": wrong(app)})
    assert two_factor.WRONG in refused.content.decode()
    empty = browser.post(CONSOLE, {"code": ""})
    assert "_auth_user_id" not in browser.session
    assert "required" in empty.content.decode()
    assert browser.post(CONSOLE, {"code": app.code()}).status_code == 302
    assert browser.get("/admin/").status_code == 200


def test_a_code_alone_opens_no_console(browser, olive, app):
    for form in ({"code": app.code()}, {**PASSED, "code": app.code()}):
        assert browser.post(CONSOLE, form).status_code == 200
        assert "_auth_user_id" not in browser.session


def test_who_is_no_operator_is_not_let_in_by_a_code(browser, app):
    sign_in(browser)
    answer = browser.post(CONSOLE, {"code": app.code()})
    assert answer.status_code == 200
    assert "_auth_user_id" not in browser.session


def test_an_operator_turns_it_off_for_who_lost_everything(ada, app, log_in):
    operator = User.objects.create_superuser("olive@example.com", PASSWORD)
    console = Client()
    console.force_login(operator)
    page = f"/admin/accounts/user/{ada.user.pk}/change/"
    shown = console.get(page).content.decode()
    assert "recovery codes left: 10" in shown
    address = f"/admin/accounts/user/{ada.user.pk}/two-factor/"
    assert address in shown
    assert "Turn off two-factor" in console.get(address).content.decode()
    assert two_factor.is_enabled(ada.user)
    assert console.post(address)["Location"] == page
    assert log_in().status_code == 200
    entry = AuditEntry.objects.for_company(ada.company).get(
        type="user.two_factor_disabled"
    )
    assert entry.user_id == operator.pk
    mail = Mail.objects.get(template="two_factor_disabled")
    assert "operator" in render(mail).body
    assert console.post(address).status_code == 302  # once more does nothing
    assert Mail.objects.filter(template="two_factor_disabled").count() == 1


def test_an_operators_own_is_not_turned_off_there(olive, app):
    console = Client()
    console.force_login(User.objects.get(pk=olive.user.pk))
    address = f"/admin/accounts/user/{olive.user.pk}/two-factor/"
    page = console.get(f"/admin/accounts/user/{olive.user.pk}/change/")
    assert "recovery codes left: 10" in page.content.decode()
    assert address not in page.content.decode()
    assert console.post(address).status_code == 403
    assert two_factor.is_enabled(olive.user)


def test_customers_do_not_reach_the_operators_switch(browser, ada, app, charlie):
    browser.force_login(charlie.user)
    address = f"/admin/accounts/user/{ada.user.pk}/two-factor/"
    assert browser.post(address)["Location"].startswith("/admin/login/")
    assert two_factor.is_enabled(ada.user)


def test_the_command_turns_it_off(ada, app):
    out = StringIO()
    call_command("turn_off_two_factor", "ADA@example.com", stdout=out)
    assert "password alone" in out.getvalue()
    for email in ("ada@example.com", "nobody@example.com"):
        with pytest.raises(CommandError):
            call_command("turn_off_two_factor", email, stdout=out)


# --- Secrets, and a person's data ---


def everything_at_rest():
    """Every row of every table, as text."""
    return "\n".join(
        str(row)
        for model in apps.get_models()
        if model._meta.managed
        for row in model._base_manager.values_list()
    )


def test_no_secret_is_at_rest_told_or_logged(signed_in, ada, log_in, caplog):
    with caplog.at_level(logging.DEBUG):
        once = {"HTTP_IDEMPOTENCY_KEY": "set-up"}
        secret = signed_in.post(OWN, {"password": PASSWORD}, **once).json()["secret"]
        app = App(secret)
        code = app.code(steps=-1)
        answer = signed_in.post(f"{OWN}/confirm", {"code": code}, **once)
        codes = answer.json()["recovery_codes"]
        assert KeptAnswer.objects.count() == 2
        assert log_in(code=codes[0]).status_code == 200
        later = [
            signed_in.get(path).content.decode()
            for path in (OWN, "/api/v1/account/export", "/api/v1/account/audit-log")
        ]
    rest = everything_at_rest()
    texts = [rest, caplog.text, *later]
    for found in (secret, *codes, *(code.replace("-", "") for code in codes)):
        assert not any(found in text for text in texts)
    assert TwoFactor.objects.get().sealed_secret in rest, (
        "the look at rest is a whole one"
    )


def test_a_secret_that_can_not_be_opened_leaves_the_recovery_codes(
    log_in, app, settings
):
    TwoFactor.objects.update(sealed_secret="v1.gone.AAAA")
    answer = log_in(code=app.code())
    assert outcome(answer) == (503, "UNAVAILABLE")
    assert "CRAFT_ENCRYPTION_KEYS" in answer.json()["message"]
    assert log_in(code=app.recovery_codes[0]).status_code == 200


def test_the_export_says_whether_it_is_on(ada, app):
    records = export_person(ada.user)["records"]
    (row,) = records["accounts.twofactor"]["rows"]
    assert row.keys() == {"begun_at", "enabled_at"}
    assert records["accounts.recoverycode"]["total"] == 10
    assert "digest" not in json.dumps(records, default=str)


def test_it_goes_with_the_person(ada, app):
    delete_account(user=ada.user, password=PASSWORD)
    assert not TwoFactor.objects.exists()
    assert not RecoveryCode.objects.exists()


def test_a_key_goes_on_without_a_code(api, ada, app):
    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(ada)}")
    assert client.get("/api/v1/auth/me").status_code == 200
