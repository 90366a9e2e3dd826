"""The cast: Alice runs a company, Bob works in it, Vera looks on, Charlie runs another."""

import gc
import os
import pickle
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.cache import cache
from django.db import connection, transaction
from django.db.backends.base.creation import BaseDatabaseCreation
from pytest_django.plugin import blocking_manager_key
from rest_framework.test import APIClient

from accounts.models import Role
from billing import services as billing
from craft.api import light, limits
from tests import stores
from tests.factories import Person, make_key, make_person, make_token
from tests.lane import LaneClient
from workflows.engine import quick
from workflows.services import watching

ROOT = Path(__file__).resolve().parents[1]


def take_own_redis() -> None:
    """One of Redis's databases for each process of a run, so that clearing it disturbs no other."""
    if settings.REDIS_URL:
        number = (
            int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + 1
        )
        url = f"{settings.REDIS_URL.rpartition('/')[0]}/{number}"
        settings.REDIS_URL = settings.CELERY_BROKER_URL = os.environ["REDIS_URL"] = url
        settings.CACHES["default"]["LOCATION"] = url


take_own_redis()


SERVICE_FREE = tuple(
    f"tests/{name}.py::"
    for name in (
        "agents/test_craftai_questions",
        "agents/test_llm",
        "craft/test_docs",
        "craft/test_egress",
        "craft/test_one_door",
        "craft/test_sandbox",
        "datasources/test_guard",
        "datasources/test_uploads",
        "durability/test_resume",
        "durability/test_up",
        "test_openapi",
        "workflows/test_conditions",
        "workflows/test_drawing",
        "workflows/test_executor",
        "workflows/test_expressions",
        "workflows/test_graph",
        "workflows/test_nodes",
        "workflows/test_nodes_ai",
        "workflows/test_nodes_code",
        "workflows/test_nodes_lists",
        "workflows/test_nodes_outside",
        "workflows/test_nodes_texts",
        "workflows/test_nodes_values",
        "workflows/test_patterns",
        "workflows/test_retry",
        "workflows/test_signatures",
        "workflows/test_timing",
        "workflows/test_turns",
    )
)
"""What in these asks for no rows knows neither the database nor the broker."""

ONLY_EMBEDDED = (
    "tests/test_browser.py::",
    "tests/durability/test_crashes.py::test_ten_kills",
    "tests/durability/test_watching.py::",
    *(
        f"tests/{name}.py::"
        for name in (
            "agents/test_runner",
            "datasources/test_guard",
            "datasources/test_uploads",
            "integrations/test_credentials",
            "workflows/test_batches",
            "workflows/test_debugging",
            "workflows/test_nodes_data",
            "workflows/test_schedules_api",
            "workflows/test_secrets",
            "workflows/test_templates",
            "workflows/test_validation",
            "workflows/test_versions",
            "workflows/test_webhooks",
            "workflows/test_workflow_tests",
        )
    ),
    *(
        f"tests/test_api_contract.py::{name}["
        for name in (
            "test_a_body_of_another_kind_is_refused",
            "test_a_body_that_is_no_json_is_refused",
            "test_a_body_that_is_no_object_is_refused",
            "test_a_body_that_is_too_large_is_refused",
            "test_a_head_is_a_get_without_its_body",
            "test_a_key_needs_the_permission",
            "test_a_role_must_be_high_enough",
            "test_a_text_that_is_no_id_is_not_found",
            "test_an_unknown_field_is_named",
            "test_an_unknown_method_is_not_allowed",
            "test_bad_paging_is_refused",
            "test_every_answer_carries_its_headers",
            "test_every_post_says_that_it_takes_a_key",
            "test_everybody_may_make_a_public_call",
            "test_nobody_is_let_in_without_a_key",
            "test_options_do_not_crash",
            "test_what_is_refused_leaves_no_entry",
            "test_who_may_is_let_in",
        )
    ),
)
"""What these ask is decided above the database. (On PostgreSQL it is `durability/test_chaos.py` that kills.)"""

ONLY_WITH_SERVICES = (
    "tests/accounts/test_admin.py::",
    "tests/accounts/test_pages.py::",
    "tests/accounts/test_sessions.py::",
    "tests/accounts/test_two_factor.py::",
    "tests/craft/test_admin.py::",
    "tests/durability/test_chaos.py::",
    "tests/workflows/test_admin.py::",
    "tests/test_route_matrix.py::",
    "tests/test_schemathesis.py::",
)
"""What these ask goes down to the database, and PostgreSQL takes fewer values than SQLite does."""


def pytest_configure(config: pytest.Config) -> None:
    """Not in the workers of a run: they share what its first process makes."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        run = ExitStack()
        has_workers = bool(getattr(config.option, "numprocesses", None))
        run.enter_context(stores.of_this_run(has_workers=has_workers))
        config.add_cleanup(run.close)


LANES = (
    {
        "tests/durability/test_crashes.py",
        "tests/durability/test_watching.py",
        "tests/durability/test_resume.py",
    },
    {
        "tests/durability/test_up.py",
        "tests/durability/test_chaos.py",
        "tests/durability/test_idempotency.py",
        "tests/test_browser.py",
    },
    {
        "tests/accounts/test_sandbox.py",
        "tests/agents/test_llm.py",
        "tests/agents/test_runner.py",
        "tests/craft/test_system.py",
        "tests/workflows/test_nodes_ai.py",
    },
)
"""The files that start processes, and so take the longest, in two halves: while one waits the other works. And those that import the clients of all
models, which takes seconds in each process that does it."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """What is asked elsewhere as a whole need not even be read."""
    name = str(collection_path.relative_to(ROOT))
    is_elsewhere = f"{name}::" in asked_elsewhere()
    return True if is_elsewhere else None


def pytest_collection_finish() -> None:
    """Tens of thousands of objects that stay until the end are not looked through for garbage again and again, and there is memory enough to look rarely."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """`make test` runs twice, and says so by CRAFT_TEST_SPLIT: what needs to be asked once is then asked in one of the two runs."""
    left_out = {item for item in items if runs_elsewhere(item)}
    config.hook.pytest_deselected(items=left_out)
    items[:] = in_lanes([item for item in items if item not in left_out])


def in_lanes(items: list[pytest.Item]) -> list[pytest.Item]:
    """The longest first, so that they don't keep one worker busy when the others have nothing left. Each worker is given an equal share of the items, as they
    stand here, to begin with: a lane is the beginning of a share."""
    lanes = [[item for item in items if file_of(item) in files] for files in LANES]
    others = deque(
        item for item in items if not any(file_of(item) in files for files in LANES)
    )
    share = len(items) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    arranged: list[pytest.Item] = []
    for turn, lane in enumerate(lanes, start=1):
        arranged += lane
        while others and len(arranged) < share * turn:
            arranged.append(others.popleft())
    return [*arranged, *others]


def file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def asked_elsewhere() -> tuple[str, ...]:
    if "CRAFT_TEST_SPLIT" not in os.environ:
        return ()
    return ONLY_EMBEDDED if settings.REDIS_URL else ONLY_WITH_SERVICES


def runs_elsewhere(item: pytest.Item) -> bool:
    if item.nodeid.startswith(asked_elsewhere()):
        return True
    return (
        "CRAFT_TEST_SPLIT" in os.environ
        and bool(settings.REDIS_URL)
        and item.nodeid.startswith(SERVICE_FREE)
        and not uses_rows(item)
    )


def uses_rows(item: pytest.Item) -> bool:
    wanted = {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
    return bool(wanted) or item.get_closest_marker("django_db") is not None


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory
) -> None:
    """A copy of what was migrated once; on SQLite a file of this very process, so that two test runs in one checkout don't meet."""
    if settings.DATABASE_IS_SQLITE:
        path = tmp_path_factory.mktemp("database") / "test.sqlite3"
        stores.put_sqlite(path)
        more = {"NAME": str(path)}
    else:
        more = {"TEMPLATE": stores.postgres_template()}
    settings.DATABASES["default"]["TEST"].update(more)
    connection.settings_dict["TEST"].update(more)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Which is to say: there is one already. The file goes with its folder."""
    return bool(settings.DATABASE_IS_SQLITE)


def put_back(creation: BaseDatabaseCreation, data: str) -> None:
    """As Django does it, with one statement for each table instead of one for each row. Before the first test has emptied them they are all there."""
    with transaction.atomic():
        rows = serializers.deserialize("json", data)
        for model, some in groupby(rows, key=lambda row: type(row.object)):
            model._base_manager.bulk_create(
                [row.object for row in some], ignore_conflicts=True
            )


BaseDatabaseCreation.deserialize_db_from_string = put_back


@pytest.fixture
def transactional_db(
    django_db_serialized_rollback: None, transactional_db: None
) -> None:
    """All tests with real transactions put back what the migrations wrote, in one way: two ways get in each other's."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Iterator[None]:
    """A test with real transactions ends by emptying every table. Those that come after it need not each make for themselves what the migrations had put
    there. After the last the tests' database is gone, and the connection is no longer theirs."""
    done = yield
    if nextitem is not None and has_real_transactions(item):
        with item.config.stash[blocking_manager_key].unblock():
            put_back(connection.creation, connection._test_serialized_contents)
    return done


def has_real_transactions(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("django_db")
    is_marked = marker is not None and marker.kwargs.get("transaction", False)
    return is_marked or "transactional_db" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    """By its number, which is also what `OUTBOUND_ALLOW` names; the kernel picks the port."""
    return "127.0.0.1", 0


def make_alice() -> Person:
    return make_person(full_name="Alice Admin")


def make_bob(alice: Person) -> Person:
    return make_person(company=alice.company, role=Role.MEMBER, full_name="Bob Member")


def make_vera(alice: Person) -> Person:
    return make_person(company=alice.company, role=Role.VIEWER, full_name="Vera Viewer")


def make_charlie() -> Person:
    return make_person(full_name="Charlie Elsewhere")


class StandingCast:
    """The cast and the keys that they call with, made once for all tests of a file. Each test runs inside the transaction that they are written in, is
    undone by itself, and is given its own copies (by way of `pickle`, which is several times as quick as `deepcopy`)."""

    def __init__(self) -> None:
        self.alice = make_alice()
        self.bob = make_bob(self.alice)
        self.vera = make_vera(self.alice)
        self.charlie = make_charlie()
        everybody = (self.alice, self.bob, self.vera, self.charlie)
        self.keys = {who.user.pk: make_key(who) for who in everybody}
        self.tokens = {who.user.pk: make_token(who) for who in everybody}
        self._kept = {
            name: pickle.dumps(getattr(self, name))
            for name in ("alice", "bob", "vera", "charlie")
        }

    def copy_of(self, name: str) -> Person:
        person: Person = pickle.loads(self._kept[name])  # noqa: S301  # our own
        return person


@pytest.fixture(scope="module")
def standing_cast(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any
) -> Iterator[StandingCast | None]:
    """For the walks over all routes, which would spend half of their time on making the same people again."""
    if not any(map(uses_rows, request.session.items)):
        yield None  # pytest-django has made no database
        return
    with django_db_blocker.unblock(), transaction.atomic():
        yield StandingCast()
        transaction.set_rollback(True)


@pytest.fixture
def standing(request: pytest.FixtureRequest, db: None) -> StandingCast | None:
    if "standing_cast" not in request.fixturenames:
        return None
    cast: StandingCast = request.getfixturevalue("standing_cast")
    return cast


@pytest.fixture
def alice(standing: StandingCast | None) -> Person:
    return standing.copy_of("alice") if standing else make_alice()


@pytest.fixture
def bob(standing: StandingCast | None, alice: Person) -> Person:
    return standing.copy_of("bob") if standing else make_bob(alice)


@pytest.fixture
def vera(standing: StandingCast | None, alice: Person) -> Person:
    return standing.copy_of("vera") if standing else make_vera(alice)


@pytest.fixture
def charlie(standing: StandingCast | None) -> Person:
    return standing.copy_of("charlie") if standing else make_charlie()


@pytest.fixture
def api() -> Callable[..., APIClient]:
    """`api(alice)` calls with a key of hers; `api()` without one."""

    def client(person: Person | None = None, *permissions: str) -> APIClient:
        made = LaneClient(raise_request_exception=False)
        if person is not None:
            made.credentials(
                HTTP_AUTHORIZATION=f"Bearer {make_key(person, *permissions)}"
            )
        return made

    return client


@pytest.fixture(scope="session", autouse=True)
def _quick_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Once for all tests: as fixtures of each they would cost it more than most of them take."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Each test client loads the middleware anew; static files are looked for when one is asked for, not by listing them all each time.
    settings.WHITENOISE_AUTOREFRESH = True
    # Most tests look at what lies in the queue: see the fixture `eager`.
    settings.CRAFT_EAGER_STARTS = False
    # One look: whoever watches an execution in a test must not wait for its end.
    settings.EVENT_STREAM_SECONDS = 0.0
    settings.MEDIA_ROOT = tmp_path_factory.mktemp("files") / "media"


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Rows get the same ids in many tests; what was counted, remembered or written for them must not be found by the next."""
    yield
    limits._throttle.cache_clear()
    limits._store.cache_clear()
    limits.outage.end()
    billing._allowances.clear()
    light._passage.cache_clear()
    watching.watchers = watching.Watchers()  # of answers that no test read to the end
    ContentType.objects.clear_cache()
    cache.clear()
    if settings.MEDIA_ROOT.exists():
        shutil.rmtree(settings.MEDIA_ROOT)


@pytest.fixture
def eager(settings: Any) -> None:
    """What takes less than handing it to a worker is run where it is started, as it is outside the tests."""
    settings.CRAFT_EAGER_STARTS = True
    quick._slow.clear()
