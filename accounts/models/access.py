"""What decides who may do what is remembered for seconds by every process (`accounts/services/recognition.py`). A change of these rows, however it is
made, in a service, in the console, in a shell, ends that at once: their models and query sets say so around each write.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeVar

from django.db import models

from craft import stamps

M = TypeVar("M", bound=models.Model)


ANYBODY = "access"


def access_subject(company_id: int) -> str:
    return f"access:{company_id}"


def changing_access(company_ids: Iterable[int]) -> AbstractContextManager[None]:
    own = {access_subject(company_id) for company_id in company_ids}
    return stamps.changing(own | {ANYBODY} if own else own)


class AccessQuerySet(models.QuerySet[M]):
    def company_ids(self) -> set[int]:
        """Whose access these rows decide."""
        raise NotImplementedError

    def update(self, **kwargs: Any) -> int:
        if kwargs.keys() <= _unheeded(self.model):
            return super().update(**kwargs)
        with changing_access(self.company_ids()):
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]  # Django's own mark, for templates

    def delete(self) -> tuple[int, dict[str, int]]:
        with changing_access(self.company_ids()):
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]  # as above
    delete.queryset_only = True  # type: ignore[attr-defined]  # as above


def _unheeded(model: Any) -> frozenset[str]:
    fields: frozenset[str] = model.without_access
    return fields


class AccessModel(models.Model):
    without_access: ClassVar[frozenset[str]] = frozenset()
    """Fields that say nothing about access, and change often."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        changed = kwargs.get("update_fields")
        is_heeded = changed is None or not set(changed) <= self.without_access
        if self._state.adding or not is_heeded:
            super().save(*args, **kwargs)
            return
        with changing_access(self.company_ids()):
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with changing_access(self.company_ids()):
            return super().delete(*args, **kwargs)

    def company_ids(self) -> set[int]:
        """Whose access this row decides."""
        raise NotImplementedError
