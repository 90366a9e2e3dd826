"""Jobs that go round the guard, to see what the walls behind it hold."""

import duckdb

from datasources.connectors import files


def ask_locked(payload):
    """DuckDB as `execution.answer` leaves it, without the guard before it."""
    files.lock(files.session(folders=[payload["folder"]], memory="256MB"))
    return [_ask(sql) for sql in payload["statements"]]


def ask_open(payload):
    """DuckDB with all its doors open: only the process is held."""
    return [_ask(sql) for sql in payload["statements"]]


def _ask(sql):
    try:
        asked = files.database().cursor().execute(sql)
        return str(asked and asked.fetchall())
    except (duckdb.Error, RuntimeError, NotImplementedError, ValueError) as error:
        return f"refused: {error}"
