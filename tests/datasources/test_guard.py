"""SQL from strangers, judged by what it does: what it answers, what it leaves, whom it calls."""

import socket
import time
from pathlib import Path

import pytest

from craft import sandbox
from craft.exceptions import DomainError
from datasources import services
from datasources.guard import QueryError
from datasources.guard.dialects import DUCKDB
from datasources.guard.statements import check
from tests.datasources.statements import HEAVY, HONEST, HOSTILE

CANARY = "canary-7f3a9c"


@pytest.fixture
def prey(shop, charlie, upload, tmp_path, monkeypatch):
    """What a hostile statement is after, and what tells on it."""
    monkeypatch.setenv("CRAFT_CANARY", CANARY)
    canary = tmp_path / "canary.txt"
    canary.write_text(CANARY)
    theirs = services.create_file_source(company=charlie.company, user=charlie.user, files=[upload("secret.csv", f"secret\n{CANARY}\n")])  # fmt: skip
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Prey(
            listener,
            watched=[tmp_path],
            words={
                "canary": canary,
                "theirs": next(theirs.folder.iterdir()),
                "folder": shop.folder,
                "scratch": scratch,
                "url": f"http://127.0.0.1:{listener.getsockname()[1]}",
            },
        )


class Prey:
    def __init__(self, listener, watched, words):
        self.listener, self.watched, self.words = listener, watched, words
        self.before = self.files()

    def files(self):
        return {
            path: (path.stat().st_size, path.stat().st_mtime_ns)
            for folder in self.watched
            for path in folder.rglob("*")
            if path.is_file()
        }

    def assert_unharmed(self, sql, told):
        for secret in (CANARY, "root:x:0", "/bin/bash"):
            assert secret not in told.replace(sql, ""), sql
        assert self.files() == self.before, sql
        with pytest.raises(BlockingIOError):
            self.listener.accept()


def tell(function):
    """What a caller would see: an answer or an error."""
    try:
        return repr(function())
    except DomainError as error:
        return f"refused: {error.message} {error.details}"


# --- Hostile ---


def test_the_hostile_list_is_long():
    assert len({*HOSTILE, *HEAVY}) == len(HOSTILE) + len(HEAVY) >= 150


def test_hostile_statements_are_refused_and_get_nothing(alice, shop, prey):
    answered = []
    for template in HOSTILE:
        sql = template.format(**prey.words) if "{" in template else template
        told = tell(lambda sql=sql: services.run_query(company=alice.company, source=shop, sql=sql))  # fmt: skip
        prey.assert_unharmed(sql, told)
        if not told.startswith("refused"):
            answered.append(template)
    assert answered == []


@pytest.mark.parametrize("job", ["ask_locked", "ask_open"])
def test_without_the_guard_the_walls_behind_it_hold(shop, prey, job):
    """With DuckDB locked, and then with all its doors open: no canary, no file, no call."""
    statements = [
        template.format(**prey.words) if "{" in template else template
        for template in HOSTILE
        if job == "ask_locked" or "{folder}" not in template
    ]  # the process may read the source's folder, which holds no canary
    for start in range(0, len(statements), 20):
        some = statements[start : start + 20]
        told = sandbox.run(f"tests.datasources.jobs.{job}", {"statements": some, "folder": str(shop.folder)}, readable=[shop.folder])  # fmt: skip
        assert len(told) == len(some)
        for sql, answer in zip(some, told, strict=True):
            prey.assert_unharmed(sql, answer)


def test_heavy_statements_end_and_leave_us_well(alice, shop, monkeypatch):
    monkeypatch.setattr(services, "QUERY_SECONDS", 1)
    before = resident()
    for sql in HEAVY:
        started = time.monotonic()
        told = tell(lambda sql=sql: services.run_query(company=alice.company, source=shop, sql=sql, row_limit=10))  # fmt: skip
        assert time.monotonic() - started < 5, sql[:60]
        assert len(told) < 100_000, sql[:60]
    assert resident() - before < 64 * 1024 * 1024


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_another_companys_source_is_not_there(charlie, shop):
    with pytest.raises(DomainError, match="no such data source"):
        services.run_query(company=charlie.company, source=shop, sql="SELECT 1")


# --- Honest ---


def test_honest_statements_answer(alice, shop):
    wrong = {}
    for sql, expected in HONEST:
        try:
            found = services.run_query(company=alice.company, source=shop, sql=sql).rows
        except QueryError as error:
            wrong[sql] = error.message
        else:
            if (len(found) if isinstance(expected, int) else found) != expected:
                wrong[sql] = found
    assert not wrong, "\n".join(f"{sql} -> {found}" for sql, found in wrong.items())


def test_the_honest_list_is_long():
    assert len(HONEST) >= 60


def test_every_allowed_function_is_allowed_in_some_form():
    """What DuckDB calls a function and what sqlglot makes of it can drift apart with either's next version."""
    forms = ["a", "", "a, b", "a, b, c", "a, x -> x", "DISTINCT a"]
    wrong = {}
    for name in DUCKDB.functions:
        faults = []
        while len(faults) < len(forms):
            fault = refusal(f"{name}({forms[len(faults)]})")
            if fault is None:
                break
            faults.append(fault)
        if len(faults) == len(forms) or "may not be used" in str(faults):
            wrong[name] = faults
    assert wrong == {}


def refusal(call):
    try:
        check(f"SELECT {call} FROM t", dialect="duckdb", tables=["t"], row_limit=1)  # noqa: S608
    except QueryError as error:
        return error.message
    return None


# --- How it answers ---


def test_a_faulty_query_is_told_what_is_wrong(alice, shop):
    for sql, words in {
        "SELECT nothing FROM orders": "nothing",
        "SELECT * FROM order": "no table 'order'",
        "SELECT * FROM orderz": "Its tables: customers, orders",
        "SELEC * FROM orders": "could not be read",
        "SELECT sum(name) FROM orders": "sum",
        "SELECT name::INT FROM orders": "Anna",
        "DELETE FROM orders": "Only a query can be run",
        "SELECT getenv('HOME')": "getenv() may not be used",
        "SELECT 1; SELECT 2": "one statement",
        "SELECT * FROM orders FOR UPDATE": "may not lock",
    }.items():
        with pytest.raises(QueryError) as caught:
            services.run_query(company=alice.company, source=shop, sql=sql)
        assert words in caught.value.message, sql
        assert "LINE 1" not in caught.value.message
        assert str(shop.folder.parent) not in caught.value.message


def test_no_more_rows_come_than_were_asked_for(alice, shop):
    def ask(sql, limit):
        found = services.run_query(company=alice.company, source=shop, sql=sql, row_limit=limit)  # fmt: skip
        return found.row_count, found.truncated

    assert ask("SELECT * FROM orders", 6) == (6, False)
    assert ask("SELECT * FROM orders", 5) == (5, True)
    assert ask("SELECT * FROM orders LIMIT 3", 5) == (3, False)
    assert ask("SELECT * FROM orders LIMIT 100", 5) == (5, True)
    assert ask("SELECT * FROM orders LIMIT 2 + 2", 5) == (4, False)
    assert ask("SELECT * FROM orders LIMIT 50%", 5) == (3, False)
    assert ask("FROM range(1000000)", 100_000) == (10_000, True)
    assert ask("VALUES (1), (2)", 1) == (1, True)
    assert ask("SELECT 1 UNION ALL SELECT 2", 1) == (1, True)


def test_an_answer_keeps_its_order_when_it_is_cut(alice, shop):
    found = services.run_query(company=alice.company, source=shop, sql="SELECT id FROM orders ORDER BY amount DESC LIMIT (1 + 5)", row_limit=2)  # fmt: skip
    assert [row["id"] for row in found.rows] == [5, 3]


def test_an_answer_is_no_larger_than_it_may_be(alice, shop, monkeypatch):
    monkeypatch.setattr(services, "MAX_ANSWER_BYTES", 1000)
    found = services.run_query(company=alice.company, source=shop, sql="SELECT repeat('x', 300) AS x FROM range(10)")  # fmt: skip
    assert (found.row_count, found.truncated) == (3, True)
    with pytest.raises(QueryError, match="too large"):
        services.run_query(company=alice.company, source=shop, sql="SELECT repeat('x', 3000)")  # fmt: skip


def test_an_answer_says_which_tables_it_read(alice, shop):
    found = services.run_query(company=alice.company, source=shop, sql="WITH c AS (FROM customers) SELECT * FROM c")  # fmt: skip
    assert found.tables == ["customers"]
    assert found.columns[0] == {"name": "name", "type": "VARCHAR"}


def test_what_is_random_is_random_in_every_query(alice, shop):
    asked = [services.run_query(company=alice.company, source=shop, sql="SELECT uuid() AS u").rows for _ in range(2)]  # fmt: skip
    assert asked[0] != asked[1]


def test_what_is_run_is_printed_anew_and_names_each_table_in_full():
    checked = check("select /* hi */ o.id from Orders o -- bye", dialect="duckdb", tables=["orders"], row_limit=5)  # fmt: skip
    assert checked.sql == 'SELECT "o"."id" FROM "memory"."main"."orders" AS "o" LIMIT 6'
    assert checked.tables == ("orders",)


STRANGE = ["DATE '20000-01-01'", "DATE '0044-03-15 (BC)'", "'infinity'::TIMESTAMP", "INTERVAL 2000000000 DAY", "INTERVAL 1000000 YEAR", "'10:00:00+02'::TIMETZ",
    "'101'::BIT", "union_value(k := 1)", "'a'::ENUM('a', 'b')", "uuid()", "MAP {[1]: 'a'}", "ROW(1, 'a')", "1e400", "'1'::UHUGEINT", "chr(0)",
    "[1, 2]::INT[2]", "'{\"a\": [1]}'::JSON", "1::VARIANT", "10::BIGNUM", "TIME '24:00:00'", "encode('x')", "NULL", "TIMESTAMP_NS '2020-01-01'"]  # fmt: skip


def test_every_value_is_answered_or_refused_in_words(alice, shop):
    sql = ", ".join(f"{value} AS c{place}" for place, value in enumerate(STRANGE) if "2000000000" not in value)  # fmt: skip
    (row,) = services.run_query(company=alice.company, source=shop, sql=f"SELECT {sql}").rows  # fmt: skip
    assert len(row) == len(STRANGE) - 1
    tell(lambda: services.run_query(company=alice.company, source=shop, sql=f"SELECT {STRANGE[3]}"))  # fmt: skip
