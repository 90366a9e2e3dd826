from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import models

from craft import vault
from craft.fields import IdField
from craft.models import CompanyModel, CompanyQuerySet, GuardedManager
from integrations.models.credential_types import TYPES, CredentialType


@dataclass(frozen=True)
class Opened:
    """A credential with its secrets, as it is handed to what makes the call. It prints without them."""

    id: str
    name: str
    type: str
    fields: dict[str, Any] = field(repr=False)
    state: str = ""
    """Another one after every change."""

    @property
    def value(self) -> Any:
        """What `secrets.<name>` stands for: a text where there is but one, else the fields."""
        single = TYPES[self.type].single
        return self.fields[single] if single else self.fields

    @property
    def secrets(self) -> list[str]:
        """The texts that nobody may see."""
        kind = TYPES[self.type]
        return [
            value
            for name, value in self.fields.items()
            if kind.is_secret(name) and isinstance(value, str)
        ]


class CredentialQuerySet(CompanyQuerySet["Credential"]):
    def called(self, names: set[str]) -> CredentialQuerySet:
        """Those that are meant by these words, each a name or an id."""
        return self.filter(models.Q(name__in=names) | models.Q(pk__in=names))


class Credential(CompanyModel):
    """A secret of a company for a service outside. What is secret in it is sealed for this very row."""

    id = IdField("cred")
    name = models.CharField(max_length=100)
    type = models.CharField(max_length=20, editable=False)
    plain: Any = models.JSONField(
        default=dict, editable=False, help_text="The fields that are no secret."
    )
    secret_fields: Any = models.JSONField(default=list, editable=False)
    sealed = models.TextField(default="", editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )

    objects = GuardedManager.from_queryset(CredentialQuerySet)()

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["company", "name"], name="one_credential_per_name"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> CredentialType:
        return TYPES[self.type]

    @property
    def is_set(self) -> bool:
        """Whether it has its secrets; a sandbox's copy has none until it is given some."""
        if self.kind.has_own_fields:
            return bool(self.secret_fields)
        return self.kind.needed_secrets(self.plain) <= set(self.secret_fields)

    @property
    def _context(self) -> str:
        return f"credential:{self.pk}"

    def keep_secrets(self, secrets: dict[str, str]) -> None:
        self.secret_fields = sorted(secrets)
        self.sealed = (
            vault.seal(json.dumps(secrets), context=self._context) if secrets else ""
        )

    def open_secrets(self) -> dict[str, str]:
        """Raises vault.UnsealError."""
        if not self.sealed:
            return {}
        secrets: dict[str, str] = json.loads(
            vault.unseal(self.sealed, context=self._context)
        )
        return secrets

    def open(self) -> Opened:
        """Raises vault.UnsealError."""
        fields = {**self.kind.defaults, **self.plain, **self.open_secrets()}
        state = f"{self.pk}:{self.updated_at.isoformat()}"
        return Opened(self.pk, self.name, self.type, fields, state)
