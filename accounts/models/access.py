"""What decides who may do what is remembered for seconds by every process (`accounts/services/recognition.py`). A change of these rows, however it is
made, in a service, in the console, in a shell, ends that at once: their models and query sets say so around each write.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TypeVar

from django.db import models

from craft import stamps

M = TypeVar("M", bound=models.Model)


ANYBODY = "access"


def access_subject(company_id: int) -> str:
    return f"access:{company_id}"


def changing_access(company_ids: Iterable[int]) -> AbstractContextManager[None]:
    own = {access_subject(company_id) for company_id in company_ids}
    return stamps.changing(own | {ANYBODY} if own else own)


class AccessQuerySet(stamps.StampedQuerySet[M]):
    def company_ids(self) -> set[int]:
        """Whose access these rows decide."""
        raise NotImplementedError

    def changing(self) -> AbstractContextManager[None]:
        return changing_access(self.company_ids())


class AccessModel(stamps.StampedModel):
    class Meta:
        abstract = True

    def company_ids(self) -> set[int]:
        """Whose access this row decides."""
        raise NotImplementedError

    def changing(self) -> AbstractContextManager[None]:
        return changing_access(self.company_ids())
