"""Django's SQLite, whose writers take turns.

SQLite has one writer at a time. Who comes second asks again after ever longer pauses, up to a tenth of a second, and whoever asks at the right moment wins:
under load some wait very long. Threads of one process need not ask: here they queue for the turn, and the next one begins the moment that the last one is
done. Between processes, and for a statement outside of a transaction, it stays as it was.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from django.db.backends.sqlite3 import base

PATIENCE_SECONDS = 20.0
"""Then SQLite is asked anyway, and its answer counts."""


class _Turns:
    """One for each file, in each process."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, path: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(path, threading.Lock())


_turns = _Turns()


def _forget_turns() -> None:
    """A forked child has none of its parent's threads, so nobody would give its turn back."""
    global _turns
    _turns = _Turns()


os.register_at_fork(after_in_child=_forget_turns)


class DatabaseWrapper(base.DatabaseWrapper):
    _turn: threading.Lock | None = None

    def _start_transaction_under_autocommit(self) -> None:
        turn = _turns.of(str(self.settings_dict["NAME"]))
        if turn.acquire(timeout=PATIENCE_SECONDS):
            self._turn = turn
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # the stubs don't know it
        except BaseException:
            self._give_turn_back()
            raise

    def _commit(self) -> Any:
        try:
            return super()._commit()  # type: ignore[misc]  # as above
        finally:
            if not self._is_in_transaction():
                self._give_turn_back()

    def _rollback(self) -> Any:
        try:
            return super()._rollback()  # type: ignore[misc]  # as above
        finally:
            self._give_turn_back()

    def _close(self) -> Any:
        try:
            return super()._close()  # type: ignore[misc]  # as above
        finally:
            self._give_turn_back()

    def _is_in_transaction(self) -> bool:
        """A commit that failed leaves its transaction open, for a rollback to end."""
        return self.connection is not None and self.connection.in_transaction

    def _give_turn_back(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()
