"""Django's cache on Redis, which is looked at with every call: the client is made once, and not for each look."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends import redis


class KeptClient(redis.RedisCacheClient):
    _kept: Any = None

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        """Of the one server that there is."""
        if self._kept is None:
            self._kept = super().get_client(key, write=write)
        return self._kept


class RedisCache(redis.RedisCache):
    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = KeptClient
