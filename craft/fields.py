from datetime import datetime
from functools import cache, partial
from typing import Any

from django.db import models
from typeid import TypeID
from typeid.codecs import base32
from uuid_utils import UUID, uuid7


def new_id(prefix: str) -> str:
    """`wf_01m80ks0jz…`, a TypeID: the kind and a UUIDv7, so unguessable and sortable by creation."""
    return _beginning(prefix) + base32.encode(uuid7().bytes)


@cache
def _beginning(prefix: str) -> str:
    """Of the ids of a kind, of which there are few: so the library looks at each prefix once. Raises its exception for one that no TypeID may have."""
    return f"{TypeID(prefix=prefix).prefix}_"


class IdField(models.CharField[str, str]):
    """A primary key that says what it identifies."""

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        kwargs.update(
            primary_key=True,
            max_length=40,
            editable=False,
            default=partial(new_id, prefix),
        )
        super().__init__(**kwargs)

    def deconstruct(self) -> Any:
        name, path, _, kwargs = super().deconstruct()
        for made_here in ("primary_key", "max_length", "editable", "default"):
            kwargs.pop(made_here, None)
        return name, path, [self.prefix], kwargs


def lowest_id(prefix: str, moment: datetime) -> str:
    """Below every id made from this moment on: a bound on time that the primary key's own index serves."""
    milliseconds = int(moment.timestamp() * 1000)
    return str(TypeID.from_uuid(UUID(int=milliseconds << 80), prefix=prefix))
