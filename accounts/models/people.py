from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models

from accounts.models.access import AccessModel, AccessQuerySet
from craft.fields import IdField
from craft.models import BaseModel


class UserQuerySet(AccessQuerySet["User"]):
    def company_ids(self) -> set[int]:
        return set(
            self.exclude(memberships=None).values_list(
                "memberships__company_id", flat=True
            )
        )


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def create_user(
        self, email: str, password: str | None = None, **fields: Any
    ) -> User:
        user = self.model(email=normalise_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(
        self, email: str, password: str | None = None, **fields: Any
    ) -> User:
        return self.create_user(
            email,
            password,
            is_staff=True,
            is_superuser=True,
            is_verified=True,
            **fields,
        )

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=normalise_email(username or ""))


def normalise_email(email: str) -> str:
    """Addresses are one whatever their case: nobody has two accounts that differ in it."""
    return email.strip().lower()


class User(AccessModel, AbstractBaseUser, PermissionsMixin, BaseModel):
    """A person, who logs in by e-mail."""

    id = IdField("user")
    email = models.EmailField(unique=True, max_length=254)
    full_name = models.CharField(max_length=200, blank=True)
    phone = models.CharField(max_length=40, blank=True, default="")
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="As the IANA names it: Europe/Berlin."
    )
    is_verified = models.BooleanField(
        default=False, help_text="Has shown that the e-mail address is theirs."
    )
    is_staff = models.BooleanField(
        "operator", default=False, help_text="May sign in to this console."
    )
    is_active = models.BooleanField(default=True)
    signed_out_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When all sessions were ended at once.",
    )

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    unheeded = frozenset({"last_login"})

    def __str__(self) -> str:
        return self.email

    def company_ids(self) -> set[int]:
        return UserQuerySet(User).filter(pk=self.pk).company_ids()

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """Django's own sessions carry this: they end with a new password, and with all the others."""
        own = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]  # not in its stubs
        ended = self.signed_out_at.isoformat() if self.signed_out_at else ""
        return f"{own}:{ended}"

    def get_full_name(self) -> str:
        return self.full_name or self.email

    def get_short_name(self) -> str:
        return self.full_name.split(" ")[0] or self.email
