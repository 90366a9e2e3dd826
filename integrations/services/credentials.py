"""What companies keep for services outside, so that their workflows can use it and nobody can read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from accounts.models import Company, User
from craft import vault
from craft.egress import EgressError, check_url
from craft.events import Event, changes_between, publish
from craft.exceptions import ConflictError, InvalidError
from integrations import events
from integrations.models import TYPES, Credential, CredentialType, Opened

URL_FIELDS = ("test_url", "token_url", "endpoint_url")
SHOWN_USES = 5


@dataclass(frozen=True)
class Use:
    """Something that names a credential, and would fail without it."""

    type: str
    id: str
    name: str


class InUseError(ConflictError):
    """What names the credential would break."""

    code = "credential_in_use"


# --- Changes ---


def create_credential(
    *,
    company: Company,
    user: User | None,
    name: str,
    type: str,
    value: str | None = None,
    fields: dict[str, Any] | None = None,
) -> Credential:
    credential = Credential(company=company, created_by=user, name=name, type=type)
    _fill(credential, _merged(credential.kind, {}, value, fields))
    credential.rotated_at = timezone.now()
    with _unique(name), transaction.atomic():
        credential.save(force_insert=True)
        publish(
            _event(
                events.CREDENTIAL_CREATED,
                credential,
                changes=changes_between({}, _told(credential)),
            )
        )
    return credential


def update_credential(
    credential: Credential,
    *,
    name: str | None = None,
    value: str | None = None,
    fields: dict[str, Any] | None = None,
    force: bool = False,
) -> Credential:
    """Changes what is named; `fields` are merged key by key, and null removes one. Raises InUseError for another name of one that is in use, unless forced:
    what uses it knows it by its name."""
    with _unique(name), transaction.atomic():
        own = Credential.objects.for_company(credential.company_id)
        credential = own.select_for_update().get(pk=credential.pk)
        before = _told(credential)
        if name is not None and name != credential.name:
            if not force:
                _refuse_if_used(credential, "renamed")
            credential.name = name
        rotated: list[str] = []
        if value is not None or fields is not None:
            rotated = _change_fields(credential, value, fields)
        changes = changes_between(before, _told(credential))
        if rotated:
            credential.rotated_at = timezone.now()
            credential.save()
            publish(
                _event(
                    events.CREDENTIAL_ROTATED,
                    credential,
                    rotated=rotated,
                    changes=changes,
                )
            )
        elif changes:
            credential.save()
            publish(_event(events.CREDENTIAL_UPDATED, credential, changes=changes))
    return credential


@transaction.atomic
def delete_credential(credential: Credential, *, force: bool = False) -> None:
    """Raises InUseError where something names it, unless forced."""
    if not force:
        _refuse_if_used(credential, "deleted")
    publish(
        _event(
            events.CREDENTIAL_DELETED,
            credential,
            changes=changes_between(_told(credential), {}),
        )
    )
    credential.delete()


def _change_fields(
    credential: Credential, value: str | None, fields: dict[str, Any] | None
) -> list[str]:
    """The names of the secrets that are others now."""
    try:
        secrets = credential.open_secrets()
    except vault.UnsealError:
        secrets = {}  # its key is gone: it has to be given again
    given = _merged(credential.kind, {**credential.plain, **secrets}, value, fields)
    _fill(credential, given)
    kind = credential.kind
    return [
        name
        for name in sorted({*secrets, *credential.secret_fields})
        if kind.is_secret(name) and secrets.get(name) != given.get(name)
    ]


def _merged(
    kind: CredentialType,
    known: dict[str, Any],
    value: str | None,
    fields: dict[str, Any] | None,
) -> dict[str, Any]:
    merged = {**known, **(fields or {})}
    if value is not None:
        if not kind.single:
            raise InvalidError(
                "This type has several fields.",
                details={"value": f"Give fields instead: {_names_of(kind)}."},
            )
        if kind.single in (fields or {}):
            raise InvalidError(
                "The value is there twice.",
                details={"value": f"Give it here or in fields.{kind.single}."},
            )
        merged[kind.single] = value
    return {name: item for name, item in merged.items() if item is not None}


def _names_of(kind: CredentialType) -> str:
    return ", ".join(kind.fields) or "names of your own, each with its secret"


def _fill(credential: Credential, given: dict[str, Any]) -> None:
    """Raises InvalidError with all faults, each by its field."""
    kind = credential.kind
    if faults := _faults_of(kind, given):
        path, sentence = next(iter(faults.items()))
        raise InvalidError(f"{path}: {sentence}", details=faults)
    secrets = {name: value for name, value in given.items() if kind.is_secret(name)}
    credential.plain = {
        name: value for name, value in given.items() if name not in secrets
    }
    credential.keep_secrets(secrets)


def _told(credential: Credential) -> dict[str, Any]:
    """What the audit log may know of a credential."""
    return {
        "name": credential.name,
        "type": credential.type,
        "fields": credential.plain,
        "secret_fields": credential.secret_fields,
    }


def _event(kind: str, credential: Credential, **more: Any) -> Event:
    data = {"credential_id": credential.pk, "name": credential.name, **more}
    return Event(kind, credential.company_id, data)


@contextmanager
def _unique(name: str | None) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise ConflictError(
            f"There is a credential named {name!r} already.",
            details={"name": "Another credential has this name."},
        ) from None


# --- What is wrong with its fields ---


@cache
def _validator(type: str) -> Any:
    return Draft202012Validator(TYPES[type].schema)


def _faults_of(kind: CredentialType, given: dict[str, Any]) -> dict[str, str]:
    type = next(name for name, each in TYPES.items() if each is kind)
    faults: dict[str, str] = {}
    for error in _validator(type).iter_errors(given):
        for field, sentence in _sentences(error, kind):
            faults.setdefault(_path_of(kind, field), sentence)
    for field in URL_FIELDS:
        if f"fields.{field}" not in faults and isinstance(given.get(field), str):
            try:
                check_url(given[field])
            except EgressError as error:
                faults[f"fields.{field}"] = error.message
    return faults


def _path_of(kind: CredentialType, field: str) -> str:
    if field and field == kind.single:
        return "value"
    return f"fields.{field}" if field else "fields"


def _sentences(
    error: ValidationError, kind: CredentialType
) -> Iterable[tuple[str, str]]:
    """No sentence shows the value: it may be the secret."""
    field = str(error.absolute_path[0]) if error.absolute_path else ""
    limit: Any = error.validator_value
    match error.validator:
        case "required":
            for name in limit:
                if name not in error.instance:
                    yield name, "This field is required."
        case "dependentRequired":
            for name, others in limit.items():
                for other in others:
                    if name in error.instance and other not in error.instance:
                        yield other, f"This field is required with {name}."
        case "additionalProperties":
            for name in sorted(set(error.instance) - set(kind.fields)):
                yield name, f"Unknown field. Known are: {', '.join(kind.fields)}."
        case "enum":
            yield field, f"Must be one of: {', '.join(map(str, limit))}."
        case "type":
            yield (
                field,
                f"Must be {'a whole number' if limit == 'integer' else 'a text'}.",
            )
        case "minLength" | "minProperties":
            yield field, "Must not be empty."
        case "maxLength":
            yield field, f"Must have at most {limit:,} characters."
        case "maxProperties":
            yield field, f"There may be at most {limit}."
        case "minimum" | "maximum":
            yield field, "Must be a port, from 1 to 65,535."
        case _:
            yield (
                field,
                "Must begin with a letter or _, and hold letters, digits, _ and - only."
                if kind.has_own_fields
                else "This can't be the name of a header.",
            )


# --- Who uses it ---


def uses_of(credential: Credential) -> list[Use]:
    """What the apps above say that names it."""
    return [use for find in _finders() for use in find(credential)]


@cache
def _finders() -> list[Callable[[Credential], list[Use]]]:
    return [import_string(name) for name in settings.CRAFT_CREDENTIAL_USES]


def _refuse_if_used(credential: Credential, deed: str) -> None:
    uses = uses_of(credential)
    if uses:
        shown = ", ".join(f"{use.name} ({use.id})" for use in uses[:SHOWN_USES])
        more = len(uses) - SHOWN_USES
        raise InUseError(
            f"It is used, and can't be {deed}: by {shown}{f' and {more} more' if more > 0 else ''}. Change those first, or say ?force=true.",
            details={use.id: f"The {use.type} {use.name} names it." for use in uses},
        )


# --- Used ---


@dataclass(frozen=True)
class Found:
    """What was asked for by name or id: the credentials, and why some can't be had."""

    opened: dict[str, Opened]
    faults: dict[str, str]


def open_credentials(*, company_id: int, names: Iterable[str]) -> Found:
    """One query, whatever is asked for."""
    wanted = set(names)
    rows = list(Credential.objects.for_company(company_id).called(wanted))
    by_word = {row.name: row for row in rows} | {row.pk: row for row in rows}
    found = Found({}, {})
    for word in wanted:
        row = by_word.get(word)
        if row is None:
            found.faults[word] = f"There is no credential '{word}'."
        elif not row.is_set:
            found.faults[word] = (
                f"The credential '{word}' has no secret here. A sandbox does not use the live ones: give it one of its own."
            )
        else:
            try:
                found.opened[word] = row.open()
            except vault.UnsealError:
                found.faults[word] = (
                    f"The secret of '{word}' can't be opened any more, because its key has left CRAFT_ENCRYPTION_KEYS. Give it again."
                )
    return found
