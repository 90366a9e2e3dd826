from __future__ import annotations

import json
from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils import timezone

from accounts.models.people import User
from craft import vault
from craft.fields import IdField
from craft.models import CompanyModel, CompanyQuerySet, GuardedManager

PURPOSE = "accounts.audit"
MARK_LENGTH = 100


class AppendOnlyError(TypeError):
    """Somebody tried to change or delete a line of the audit log."""


def mark_of(part: str, *parts: object) -> str:
    """Under a key of the installation's ring, which the mark names: who can only write to the database can't make one, and keys rotate."""
    return vault.mark(_joined(part, parts), purpose=PURPOSE)


def is_mark_of(found: str, part: str, *parts: object) -> bool:
    return vault.is_mark(found, _joined(part, parts), purpose=PURPOSE)


def _joined(part: str, parts: tuple[object, ...]) -> str:
    return json.dumps([part, *map(str, parts)])


class AuditEntryQuerySet(CompanyQuerySet["AuditEntry"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("The audit log is only added to.")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("The audit log is only added to.")

    def unsealed(self) -> AuditEntryQuerySet:
        return self.filter(sequence=None)

    def with_actor(self) -> AuditEntryQuerySet:
        """With the e-mail of who did it, while that person has an account."""
        people = User.objects.filter(pk=models.OuterRef("user_id"))
        return self.annotate(actor_email=models.Subquery(people.values("email")[:1]))


class AuditEntry(CompanyModel):
    """One change: who made it, from where, to what, and what was before and after.

    A row carries its own digest from the moment it is written, in the transaction of its change. Within seconds the sealer gives it its place in the
    company's chain: a sequence without gaps, each link made of the one before. So a row that was changed, taken out or put in is found.
    `origin` and `details` are JSON as text, because a digest is made of exact text, and have digests of their own, so that erasing a person breaks no chain.
    """

    id = IdField("audit")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = None  # type: ignore[assignment]  # Django's way to do without a base's field
    type = models.CharField("event", max_length=100)
    resource_type = models.CharField(max_length=60)
    resource_id = models.CharField(max_length=64, blank=True)
    user_id = models.CharField(max_length=40, blank=True)
    api_key_id = models.CharField(max_length=40, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    origin = models.TextField(default="{}")
    details = models.TextField(default="{}")
    origin_digest = models.CharField(max_length=MARK_LENGTH)
    details_digest = models.CharField(max_length=MARK_LENGTH)
    digest = models.CharField(max_length=MARK_LENGTH)
    is_erased = models.BooleanField(default=False)
    sequence = models.PositiveBigIntegerField(null=True)
    link = models.CharField(max_length=MARK_LENGTH, blank=True)

    objects = GuardedManager.from_queryset(AuditEntryQuerySet)()
    unscoped: ClassVar[Any] = models.Manager.from_queryset(AuditEntryQuerySet)()

    class Meta(CompanyModel.Meta):
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "sequence"], name="one_audit_entry_per_place"
            )
        ]
        indexes = [
            models.Index(fields=["company", "-id"], name="audit_of_company"),
            models.Index(fields=["company", "resource_id"], name="audit_of_resource"),
            models.Index(
                fields=["company", "id"],
                name="audit_unsealed",
                condition=models.Q(sequence=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.resource_id}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError("The audit log is only added to.")
        self.origin_digest = mark_of("origin", self.pk, self.origin)
        self.details_digest = mark_of("details", self.pk, self.details)
        self.digest = mark_of("entry", *self._said)
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("The audit log is only added to.")

    @property
    def _said(self) -> tuple[object, ...]:
        return (
            self.pk,
            self.company_id,
            int(self.created_at.timestamp() * 1_000_000),
            self.type,
            self.resource_type,
            self.resource_id,
            self.user_id,
            self.api_key_id,
            self.request_id,
            self.origin_digest,
            self.details_digest,
        )

    def make_link(self, sequence: int, before: str) -> str:
        return mark_of("link", self.company_id, sequence, before, self.digest)

    def follows(self, before: str) -> bool:
        return is_mark_of(
            self.link, "link", self.company_id, self.sequence, before, self.digest
        )

    @property
    def is_tellable(self) -> bool:
        """Whether the key that it was written under is at hand, without which nobody can say."""
        return vault.is_key_known(self.digest, purpose=PURPOSE)

    @property
    def is_whole(self) -> bool:
        """Whether it says what it said when it was written."""
        return (
            self._is_told("origin", self.origin, self.origin_digest)
            and self._is_told("details", self.details, self.details_digest)
            and is_mark_of(self.digest, "entry", *self._said)
        )

    def _is_told(self, part: str, text: str, digest: str) -> bool:
        is_gone = self.is_erased and text == "{}"
        return is_gone or is_mark_of(digest, part, self.pk, text)

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.details).get("data", {}))

    @property
    def changes(self) -> dict[str, Any]:
        return dict(json.loads(self.details).get("changes", {}))

    @property
    def address(self) -> str:
        return str(json.loads(self.origin).get("address", ""))

    @property
    def user_agent(self) -> str:
        return str(json.loads(self.origin).get("user_agent", ""))


class AuditHead(CompanyModel):
    """The end of a company's chain. Whoever seals holds this row; nobody who makes a change waits for it."""

    sequence = models.PositiveBigIntegerField(default=0)
    link = models.CharField(max_length=MARK_LENGTH, blank=True)
    seal = models.CharField(max_length=MARK_LENGTH, blank=True)

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["company"], name="one_audit_head")
        ]

    def __str__(self) -> str:
        return f"{self.company_id}: {self.sequence}"

    def make_seal(self) -> str:
        return mark_of("head", self.company_id, self.sequence, self.link)

    @property
    def is_sealed(self) -> bool:
        return is_mark_of(self.seal, "head", self.company_id, self.sequence, self.link)
