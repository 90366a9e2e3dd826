"""What every table starts from, and the door that keeps companies apart.

`Model.objects` of a company's table refuses to run any SQL until the query has said whose rows it wants: `.for_company(company)`. A forgotten
scope is an error on the first call, never another company's data. What serves all companies at once (the engine's workers, the admin, Django's
own machinery) goes through `Model.unscoped`, a name that is easy to search for and that `tests/test_tenancy.py` allows in listed places only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from django.db import models
from django.db.models.sql import AND, Query

from craft.fields import IdField

if TYPE_CHECKING:
    from accounts.models import Company

M = TypeVar("M", bound=models.Model)


class UnscopedQueryError(Exception):
    """A query on a company's table ran without `for_company`."""


class GuardedQuery(Query):
    """SQL that compiles only once it is known whose rows it reads."""

    company_id: int | None = None

    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        if self.company_id is None and not self.is_empty():
            raise UnscopedQueryError(
                f"{self.get_meta().object_name}: say whose rows, with .for_company(company)."
            )
        return super().get_compiler(*args, **kwargs)

    def combine(self, rhs: Any, connector: str) -> None:
        # `mine | theirs` keeps my scope and gains their rows.
        if connector != AND and getattr(rhs, "company_id", None) != self.company_id:
            raise UnscopedQueryError(
                f"{self.get_meta().object_name}: only rows of one and the same company can be joined."
            )
        super().combine(rhs, connector)


class CompanyQuerySet(models.QuerySet[M], Generic[M]):
    """Rows that belong to companies."""

    def for_company(self, company: Company | int) -> Self:
        company_id = company if isinstance(company, int) else company.pk
        return self.scoped_by(models.Q(company_id=company_id), company_id)

    def scoped_by(self, condition: models.Q, company: Company | int) -> Self:
        """Narrow to what this company may see, where that is more than its own rows."""
        scoped = self.filter(condition)
        if isinstance(scoped.query, GuardedQuery):
            scoped.query.company_id = (
                company if isinstance(company, int) else company.pk
            )
        return scoped

    def update(self, **kwargs: Any) -> int:
        self._require_scope()
        return super().update(**kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        self._require_scope()
        return super().delete()

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        raise UnscopedQueryError(
            f"{self.model.__name__}: SQL written by hand can't be scoped; say `unscoped` and filter it yourself."
        )

    def _require_scope(self) -> None:
        # An UPDATE or DELETE is compiled by another class of query, which does not know the guard.
        if isinstance(self.query, GuardedQuery):
            self.query.get_compiler(self.db)


class GuardedManager(models.Manager[M]):
    """The `objects` of a company's table, put on with `objects = GuardedManager.from_queryset(AgentQuerySet)()`."""

    def get_queryset(self) -> models.QuerySet[M]:
        queryset_class: type[models.QuerySet[M]] = self._queryset_class  # type: ignore[attr-defined]  # set by from_queryset
        return queryset_class(
            model=self.model, query=GuardedQuery(self.model), using=self._db
        )


class BaseModel(models.Model):
    created_at = models.DateTimeField(auto_now_add=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)

    class Meta:
        abstract = True

    def assign(self, values: dict[str, Any]) -> dict[str, list[Any]]:
        """Set these fields; what changed thereby, as events tell it: `{"name": [before, after]}`."""
        changes = {}
        for name, value in values.items():
            before = getattr(self, name)
            if before != value:
                setattr(self, name, value)
                changes[name] = [before, value]
        return changes


class CompanyModel(BaseModel):
    """A row of one company."""

    company = models.ForeignKey(
        "accounts.Company", on_delete=models.CASCADE, related_name="+", editable=False
    )

    objects: Any = GuardedManager.from_queryset(CompanyQuerySet)()
    # The order is the point: `objects` is the one to reach for.
    unscoped = models.Manager()

    class Meta:
        abstract = True
        default_manager_name = "unscoped"


class KeptAnswer(BaseModel):
    """What a POST with an `Idempotency-Key` answered, so that a repeat gets the same. See `craft/api/idempotency.py`.

    `answer` is sealed: it may show a secret that is shown once. `effect` and `effect_id` name the change that was made, from within its own transaction,
    where the answer can't be stored in the same one.
    """

    id = IdField("idem")
    company = models.ForeignKey(
        "accounts.Company", null=True, on_delete=models.CASCADE, related_name="+"
    )
    scope = models.CharField(max_length=150)
    operation = models.CharField(max_length=400)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True)
    effect = models.CharField(max_length=100, blank=True)
    effect_id = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "operation", "key"], name="one_answer_per_key"
            )
        ]
        indexes = [models.Index(fields=["created_at"], name="kept_answer_age")]

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"


class DoomedFolder(BaseModel):
    """A folder below the media folder that is to go, since what it belonged to has gone. See `craft/files.py`."""

    path = models.CharField(max_length=300)

    def __str__(self) -> str:
        return self.path
