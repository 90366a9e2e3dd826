"""The pages in a real Chromium: what a person can do, with the mouse and without it, on a desk and on a phone."""

import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client
from pyotp import TOTP
from selenium.webdriver.common.keys import Keys

from accounts.models import ApiKey, User
from accounts.services import companies
from accounts.services.sandbox import sandbox_of
from craft import first_operator
from tests.browser import DESK, PHONE, Browser
from tests.factories import PASSWORD, Person, make_key, make_person

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

NEW = {
    "full_name": "Ada Lovelace",
    "company_name": "Analytical Engines",
    "email": "ada@example.com",
    "password": "a long pass phrase",
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser, live_server) -> Browser:
    chromium.base = live_server.url
    chromium.size(DESK)
    chromium.prefer("light")
    chromium.forget()
    return chromium


def sign_in(browser: Browser, person: Person) -> None:
    """The browser gets the session of somebody who signed in already: two tests below go through the page."""
    person.user.set_password(PASSWORD)
    person.user.save()
    client = Client()
    form = {"email": person.user.email, "password": PASSWORD}
    assert client.post("/login", form).status_code == 302
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    browser.cdp(
        "Network.setCookie", name=cookie.key, value=cookie.value, url=browser.base
    )


def test_a_new_installation_leads_to_its_first_operator(browser, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    token = first_operator.offer_token()
    browser.open("/")
    browser.lands_on("/setup")
    browser.open(f"/setup?token={token}")
    browser.lands_on("/setup")
    assert token not in browser.driver.current_url
    browser.fill(**NEW)
    browser.press("Make operator")
    browser.lands_on("/")
    assert "Hello, Ada" in browser.text("h1")
    browser.press("Operator console")
    browser.lands_on("/admin/")
    assert User.objects.get(email=NEW["email"]).is_staff

    browser.open("/")
    browser.find(".menu summary").click()
    browser.press("Sign out", inside=".menu")
    browser.lands_on("/login")
    browser.open("/settings/api-keys")
    browser.lands_on("/login")
    browser.fill(email=NEW["email"], password="wrong")
    browser.press("Sign in")
    assert "wrong" in browser.text("[role=alert]")
    browser.fill(password=NEW["password"])
    browser.press("Sign in")
    browser.lands_on("/settings/api-keys")


def test_a_key_is_made_shown_once_used_and_deleted(browser, alice, api):
    sign_in(browser, alice)
    browser.open("/settings/api-keys")
    browser.press("New key")
    browser.press("Make key")
    assert "required" in browser.text(".errors")
    assert browser.run("return document.activeElement.name") == "name"
    browser.fill(name="Till in Leeds")
    browser.press("Make key")
    secret = browser.text("#secret")
    browser.lands_on("/settings/api-keys")

    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert client.get("/v1/auth/me").status_code == 200

    browser.driver.refresh()
    assert "Till in Leeds" in browser.text("table")
    assert secret not in browser.driver.page_source
    assert ApiKey.objects.for_company(alice.company).count() == 1

    browser.press("Revoke")
    assert "Till in Leeds" in browser.text("dialog[open] h2")
    assert browser.run("return document.activeElement.textContent") == "Cancel"
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert browser.run("return document.querySelector('dialog[open]')") is None
    assert browser.run("return document.activeElement.dataset.act") == "Revoke key"
    browser.press("Revoke")
    browser.press("Revoke key", inside="dialog[open]")
    assert "no longer works" in browser.text(".toast")
    assert "No API keys yet" in browser.text()
    assert client.get("/v1/auth/me").status_code == 401


def test_two_factor_sign_in_is_turned_on(browser, alice):
    sign_in(browser, alice)
    browser.open("/settings/two-factor")
    browser.fill(password=PASSWORD)
    browser.press("Continue")
    app = TOTP(browser.text("#secret").replace(" ", ""))
    browser.size(PHONE)
    assert browser.run(TOO_WIDE) == []
    drawn = browser.run("return document.querySelector('.qr').getBoundingClientRect()")
    assert drawn["width"] == drawn["height"] > 150
    browser.fill(code=app.now())
    browser.press("Turn on")
    codes = browser.text("#codes").split()
    assert len(codes) == 10
    refused = [said for said in browser.complaints() if "404" not in said]
    assert refused == []
    browser.driver.refresh()
    assert "10 recovery codes left" in browser.text()
    assert codes[0] not in browser.driver.page_source


def test_the_keyboard_alone_is_enough(browser, alice):
    alice.user.set_password(PASSWORD)
    alice.user.save()
    browser.open("/login")
    active = browser.driver.switch_to.active_element
    active.send_keys(alice.user.email, Keys.TAB)
    browser.driver.switch_to.active_element.send_keys(PASSWORD, Keys.ENTER)
    browser.lands_on("/")
    browser.find("body").send_keys(Keys.TAB)
    assert "Skip" in browser.driver.switch_to.active_element.text
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.driver.current_url.endswith("#content")


def test_light_and_dark_follow_the_system_until_somebody_chooses(browser, db):
    browser.prefer("dark")
    browser.open("/login")
    assert paper(browser) == "rgb(14, 16, 20)"
    browser.find("[data-theme-toggle]").click()
    assert paper(browser) == "rgb(247, 248, 250)"
    browser.driver.refresh()
    assert paper(browser) == "rgb(247, 248, 250)"


def paper(browser: Browser) -> str:
    return browser.run("return getComputedStyle(document.body).backgroundColor")


UNNAMED = """return [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a, summary")]
    .filter(e => !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim() || e.title))
    .map(e => e.outerHTML)"""
TOO_WIDE = """return [document.documentElement, ...document.querySelectorAll(".card, .bar-inner, dialog")]
    .filter(e => e.scrollWidth > e.clientWidth).map(e => e.className || e.tagName)"""


A_STATUS = re.compile(r"status of 40[04]")


def test_no_page_breaks_the_policy_the_width_of_a_phone_or_leaves_a_field_without_name(
    browser, alice, bob
):
    alice.user.full_name = f"Al{'exandr' * 20}ia"
    alice.user.is_staff = alice.user.is_superuser = True
    alice.user.save()
    alice.company.name = f"Wolfeschlegel{'stein' * 15}hausenbergerdorff"
    alice.company.save()
    make_key(alice, allowed_addresses=["203.0.113.7", "2001:db8:85a3::/48"])
    bob.user.email = f"{'a.long.address.' * 4}@{'sub.domain.' * 8}example.com"
    bob.user.save()
    outlet = companies.create_outlet(
        company=alice.company, name="Leeds", variables={"a": 1}
    )
    sandbox_of(alice.company)
    browser.size(PHONE)
    for path in (
        "/login",
        "/signup",
        "/forgot-password",
        "/verify-email?token=x",
        "/reset-password?token=x",
        "/invitation?token=x",
        "/nowhere",
    ):
        look_over(browser, path)
    sign_in(browser, alice)
    browser.open("/settings")
    pages = browser.run(
        "return [...document.querySelectorAll('.side a')].map(a => a.pathname)"
    )
    key = f"/settings/api-keys/{ApiKey.objects.for_company(alice.company).get().pk}"
    for path in (
        "/",
        *pages,
        "/settings/api-keys/new",
        key,
        f"{key}/rotate",
        f"{key}/delete",
        f"/settings/outlets/{outlet.pk}",
        f"/settings/members/{bob.user.pk}",
        "/settings/members/invite",
        "/settings/password",
        "/settings/email",
        "/settings/audit-log?from=2026-05-02&to=2026-05-01",
    ):
        look_over(browser, path)
    for path in ("/admin/", "/admin/accounts/user/", "/docs/"):
        browser.open(path)
        assert browser.complaints() == [], path


def look_over(browser: Browser, path: str) -> None:
    browser.open(path)
    refused = [said for said in browser.complaints() if not A_STATUS.search(said)]
    assert refused == [], path
    for size in (DESK, PHONE):
        browser.size(size)
        assert browser.run(TOO_WIDE) == [], (path, size)
    assert browser.run(UNNAMED) == [], path
    assert browser.run("return document.querySelectorAll('h1').length") == 1, path


def test_a_page_of_another_origin_may_call_with_a_key_and_never_with_a_session(
    browser, alice, httpserver
):
    sign_in(browser, alice)
    httpserver.expect_request("/").respond_with_data("elsewhere")
    browser.driver.get(httpserver.url_for("/"))
    script = """
        const [url, headers, credentials, done] = arguments;
        fetch(url, {headers, credentials}).then(async answer => done([answer.status, answer.headers.get("X-Request-ID")])).catch(() => done("refused"));
    """
    url = f"{browser.base}/v1/auth/me"
    bearer = {"Authorization": f"Bearer {make_key(alice)}"}
    status, request_id = browser.driver.execute_async_script(
        script, url, bearer, "omit"
    )
    assert status == 200
    assert request_id.startswith("req_")
    assert browser.driver.execute_async_script(script, url, {}, "include") == "refused"
    browser.complaints()


def test_a_viewer_sees_no_way_to_what_is_for_admins(browser, alice):
    viewer = make_person(company=alice.company, role="viewer")
    sign_in(browser, viewer)
    browser.open("/settings")
    assert "API keys" not in browser.text(".side")
    browser.open("/settings/api-keys")
    assert "Not for you" in browser.text("h1")
