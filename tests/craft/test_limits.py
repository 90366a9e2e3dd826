"""Rate limits: exact, per company and per address, and truly told."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.test import RequestFactory

from billing.models import Plan
from billing.services import set_plan
from craft.api import limits
from craft.api.limits import Window, address_of, take
from craft.urls import routes
from tests.at_once import at_once
from tests.factories import make_token

PROFILE = "/api/v1/account/profile"


@pytest.fixture
def clock(monkeypatch, settings):
    """A clock that stands still until it is told to go on; Redis has its own, so the counts are kept in this process."""
    settings.REDIS_URL = ""

    class Clock:
        now = 1_000_000.0

        def advance(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: clock.now)
    return clock


def put_on(company, **windows):
    Plan.objects.create(slug="tiny", name="Tiny", family="agents", **windows)
    set_plan(company=company, slug="tiny")


def statuses(client, calls, path=PROFILE, **extra):
    return [client.get(path, **extra).status_code for _ in range(calls)]


def test_exactly_the_limit_passes(api, alice, clock):
    put_on(alice.company, per_hour=5)
    assert statuses(api(alice), 8) == [200] * 5 + [429] * 3


@pytest.mark.parametrize(
    "window",
    [
        Window("minute", 60, 100),
        Window("minute", 300, 500),
        Window("hour", 1_000, 1_000),
        Window("day", 1_000, 1_000),
    ],
)
def test_a_burst_passes_at_once_and_not_one_more(clock, window):
    rates = [take("company:1", [window]) for _ in range(window.burst + 5)]
    assert sum(rate.retry_after is None for rate in rates) == window.burst


def test_the_headers_count_down(api, alice, clock):
    put_on(alice.company, per_hour=3)
    client = api(alice)
    answers = [client.get(PROFILE) for _ in range(4)]
    assert [answer["X-RateLimit-Limit"] for answer in answers] == ["3"] * 4
    left = [answer["X-RateLimit-Remaining"] for answer in answers]
    assert left == ["2", "1", "0", "0"]
    wait = int(answers[2]["X-RateLimit-Reset"]) - time.time()
    assert 3590 < wait <= 3601


def test_a_refusal_says_how_long_to_wait_and_is_right(api, alice, clock):
    put_on(alice.company, per_hour=2)
    client = api(alice)
    statuses(client, 2)
    refused = client.get(PROFILE)
    body = refused.json()
    assert (refused.status_code, body["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert body["request_id"] == refused["X-Request-ID"]
    wait = int(refused["Retry-After"])
    clock.advance(wait - 1)
    assert client.get(PROFILE).status_code == 429
    clock.advance(1)
    assert client.get(PROFILE).status_code == 200


def test_both_base_paths_count_as_one(api, alice, clock):
    put_on(alice.company, per_hour=4)
    client = api(alice)
    assert statuses(client, 2) == [200, 200]
    assert statuses(client, 3, "/v1/account/profile") == [200, 200, 429]
    body = client.get("/v1/account/profile").json()
    assert body["error"]["code"] == "RATE_LIMITED"


def test_a_company_is_counted_whoever_calls(api, alice, bob, clock):
    put_on(alice.company, per_hour=3)
    assert statuses(api(alice), 2) == [200, 200]
    assert statuses(api(bob), 2) == [200, 429]


def test_another_company_has_its_own_count(api, alice, charlie, clock):
    put_on(alice.company, per_hour=1)
    assert statuses(api(alice), 2) == [200, 429]
    assert statuses(api(charlie), 1) == [200]


def test_the_headers_tell_of_the_window_with_the_least_left(clock):
    windows = [Window("minute", 60, 60), Window("day", 10, 10)]
    assert take("company:1", windows).limit == 10
    windows = [Window("minute", 2, 2), Window("day", 1_000, 1_000)]
    assert take("company:2", windows).limit == 2


def test_without_a_limit_of_the_plans_the_ceiling_is_told_and_holds(
    api, alice, clock, settings
):
    settings.API_CEILING_PER_MINUTE = 3
    client = api(alice)
    answers = [client.get(PROFILE) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert {answer["X-RateLimit-Limit"] for answer in answers} == {"3"}
    assert answers[0]["X-RateLimit-Remaining"] == "2"
    assert answers[4]["Retry-After"] == "20"


def test_a_plan_without_api_access_refuses_every_key_and_says_which_plan(
    api, alice, clock
):
    client = api(alice)
    set_plan(company=alice.company, slug="compliance-free")
    for path in (PROFILE, "/v1/workflows", "/api/v1/agents", "/v1/systems"):
        answer = client.get(path)
        if answer.status_code == 404:
            continue  # not served here yet
        assert answer.status_code == 403
        assert "Free (Compliance)" in answer.content.decode()
        assert int(answer["X-RateLimit-Remaining"]) > 0
    assert client.post("/v1/agents", {}).status_code == 403
    assert client.get("/api/v1/health").status_code == 200
    set_plan(company=alice.company, slug="compliance-starter")
    assert client.get(PROFILE).status_code == 200


@pytest.fixture
def free_alice(api, alice):
    """Signed in, in a company whose plan comes without the API."""
    set_plan(company=alice.company, slug="compliance-free")
    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(alice)}")
    return client


@pytest.mark.parametrize("base", ["/api/v1", "/v1"])
@pytest.mark.parametrize(
    "path",
    [
        "auth/me",
        "account/profile",
        "account/sessions",
        "account/companies",
        "account/api-keys",
        "account/audit-log",
        "companies/{id}",
        "companies/{id}/users",
        "companies/{id}/outlets",
        "companies/{id}/invitations",
    ],
)
def test_without_api_access_a_person_sees_to_their_account(
    free_alice, alice, base, path
):
    path = path.format(id=alice.company.pk)
    assert free_alice.get(f"{base}/{path}").status_code == 200


@pytest.mark.parametrize("base", ["/api/v1", "/v1"])
@pytest.mark.parametrize(
    "path", ["workflows", "executions", "agents", "data-sources", "workflows/nowhere"]
)
def test_without_api_access_a_person_is_refused_the_resources(free_alice, base, path):
    for answer in (free_alice.get(f"{base}/{path}"), free_alice.post(f"{base}/{path}")):
        if answer.status_code != 405:
            assert answer.status_code == 403
            assert "Free (Compliance)" in answer.content.decode()


def test_the_alias_of_a_base_path_is_no_way_round(free_alice):
    assert free_alice.get("/api/workflows").status_code == 403


def test_without_api_access_a_page_s_session_is_no_way_round(alice, client):
    set_plan(company=alice.company, slug="compliance-free")
    client.force_login(alice.user)
    assert client.get("/v1/workflows").status_code == 403
    assert client.get("/v1/account/profile").status_code == 200


def test_every_resource_that_is_open_without_a_plan_is_named_once():
    """One that comes anew is closed until somebody says otherwise."""
    first_words = {prefix.partition("/")[0] for prefix, _, _ in routes}
    assert set(settings.API_WITHOUT_PLAN) - {"billing"} <= first_words


def test_api_access_is_the_plans_own_word(api, alice):
    client = api(alice)
    put_on(alice.company, has_api_access=False)
    answer = client.get(PROFILE)
    assert answer.status_code == 403
    assert "Tiny (Agents)" in answer.json()["message"]


@pytest.mark.parametrize(
    ("windows", "period", "allowed"),
    [
        ({"per_minute": 4}, 60, 4),
        ({"per_minute": 4, "per_minute_burst": 6}, 60, 6),
        ({"per_hour": 4}, 3600, 4),
        ({"per_day": 4}, 86400, 4),
        ({"per_minute": 4, "per_day": 5}, 86400, 4),
    ],
)
def test_every_period_of_a_plan_counts(api, alice, clock, windows, period, allowed):
    put_on(alice.company, **windows)
    client = api(alice)
    assert statuses(client, allowed + 2) == [200] * allowed + [429] * 2
    clock.advance(period)
    assert client.get(PROFILE).status_code == 200


def test_public_calls_count_per_address(api, db, clock, settings):
    settings.API_PUBLIC_PER_MINUTE = 3
    client, health = api(), "/api/v1/health"
    assert statuses(client, 5, health, REMOTE_ADDR="192.0.2.1") == [200] * 3 + [429] * 2
    assert statuses(client, 1, health, REMOTE_ADDR="192.0.2.2") == [200]


def test_a_wrong_key_counts_for_its_address(api, db, clock, settings):
    settings.API_PUBLIC_PER_MINUTE = 3
    client = api()
    client.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    assert statuses(client, 4) == [401, 401, 401, 429]


def test_a_call_that_reaches_no_view_is_counted_and_told(api, db, clock, settings):
    settings.API_PUBLIC_PER_MINUTE = 3
    client = api()
    answer = client.get("/v1/nothing")
    assert answer["X-RateLimit-Remaining"] == "2"


def test_pages_carry_no_rates(client, db):
    assert "X-RateLimit-Limit" not in client.get("/docs/")


def test_the_limit_holds_when_all_come_at_once(clock):
    window = Window("hour", 50, 50)
    with ThreadPoolExecutor(16) as pool:
        rates = list(pool.map(lambda _: take("company:1", [window]), range(200)))
    assert sum(rate.retry_after is None for rate in rates) == 50


PROCESSES, CLIENTS, LIMIT = 4, 200, 50


@pytest.mark.skipif(not settings.REDIS_URL, reason="needs Redis: make test-postgres")
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_200_clients_in_four_processes_exactly_the_limit_passes(tmp_path):
    def call() -> None:
        limits._store.cache_clear()  # a connection must not be shared by a fork
        limits._throttle.cache_clear()
        window = Window("day", LIMIT, LIMIT)
        with ThreadPoolExecutor(CLIENTS // PROCESSES) as pool:
            rates = list(
                pool.map(lambda _: take("company:1", [window]), range(CLIENTS))
            )
        passed = sum(rate.retry_after is None for rate in rates)
        (tmp_path / str(os.getpid())).write_text(str(passed))

    assert at_once(*[call] * PROCESSES) == ["done"] * PROCESSES
    passed = [int(told.read_text()) for told in tmp_path.iterdir()]
    assert len(passed) == PROCESSES
    assert sum(passed) == LIMIT


def test_without_its_redis_the_limit_holds_in_this_process(settings, clock, caplog):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    window = Window("hour", 2, 2)
    rates = [take("company:1", [window]) for _ in range(3)]
    assert [rate.retry_after is None for rate in rates] == [True, True, False]
    assert "fall back" in caplog.text


def test_a_redis_that_does_not_answer_holds_nobody_up(settings, clock, caplog):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:
        settings.REDIS_URL = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        started = time.monotonic()
        rates = [take("company:1", [Window("hour", 2, 2)]) for _ in range(20)]
        assert time.monotonic() - started < 5
    assert sum(rate.retry_after is None for rate in rates) == 2
    assert caplog.text.count("fall back") <= 2


def test_without_its_redis_no_call_fails(api, alice, settings, clock):
    put_on(alice.company, per_hour=2)
    client = api(alice)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert statuses(client, 3) == [200, 200, 429]


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(settings):
    request = RequestFactory().get(
        "/", HTTP_X_FORWARDED_FOR="198.51.100.9, 203.0.113.5"
    )
    assert address_of(request) == "127.0.0.1"
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert address_of(request) == "203.0.113.5"
