from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils import timezone

from craft.fields import IdField
from craft.models import BaseModel, CompanyModel, CompanyQuerySet, GuardedManager


class Role(models.TextChoices):
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"

    @property
    def levels(self) -> frozenset[str]:
        """What the role may do: the same three words that a key's permissions use."""
        return LEVELS[self]


LEVELS = {
    Role.VIEWER: frozenset({"read"}),
    Role.MEMBER: frozenset({"read", "write"}),
    Role.ADMIN: frozenset({"read", "write", "admin"}),
}


class Company(BaseModel):
    """A tenant. Its id is an integer, as the API documents it."""

    name = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
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


class User(AbstractBaseUser, PermissionsMixin, BaseModel):
    """A person, who logs in by e-mail."""

    id = IdField("user")
    email = models.EmailField(unique=True, max_length=254)
    full_name = models.CharField(max_length=200, blank=True)
    is_verified = models.BooleanField(
        default=False, help_text="Has shown that the e-mail address is theirs."
    )
    is_staff = models.BooleanField(
        "operator", default=False, help_text="May sign in to this console."
    )
    is_active = models.BooleanField(default=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.full_name or self.email

    def get_short_name(self) -> str:
        return self.full_name.split(" ")[0] or self.email


class Membership(BaseModel):
    """A person's place in a company."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    company = models.ForeignKey(
        Company, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    is_owner = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "company"], name="one_membership_per_company"
            ),
            models.UniqueConstraint(
                fields=["company"],
                condition=models.Q(is_owner=True),
                name="one_owner_per_company",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.company} ({self.role})"


class ApiKeyQuerySet(CompanyQuerySet["ApiKey"]):
    pass


class ApiKey(CompanyModel):
    """A key for programs. It acts for the person who made it, within the permissions that it was given. Only a keyed hash of it is kept."""

    id = IdField("key")
    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, related_name="api_keys", editable=False
    )
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    permissions = models.JSONField(default=list)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = GuardedManager.from_queryset(ApiKeyQuerySet)()

    class Meta(CompanyModel.Meta):
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…{self.last_four})"

    def touch(self) -> None:
        """Note that the key is in use: at most a write a minute, so `last_used` is at most a minute late."""
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > timedelta(minutes=1):
            ApiKey.unscoped.filter(pk=self.pk).update(last_used_at=now)


class RefreshToken(BaseModel):
    """One link of a session's line of refresh tokens. Each is spent once; its successor belongs to the same family."""

    id = models.BigAutoField(primary_key=True)
    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, related_name="refresh_tokens"
    )
    family = models.CharField(max_length=40, db_index=True)
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.family} of {self.membership.user}"

    def spend(self) -> bool:
        """Whether it was still to be had: of many at once, one gets it."""
        unspent = RefreshToken.objects.filter(pk=self.pk, used_at=None, ended_at=None)
        return unspent.update(used_at=timezone.now()) == 1

    @classmethod
    def expiry(cls) -> Any:
        return timezone.now() + settings.REFRESH_TOKEN_LIFETIME
