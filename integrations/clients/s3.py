"""Objects in buckets. botocore signs the request, offline; `craft.egress` sends it, so that an endpoint is judged like any other address."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import quote

from django.conf import settings

from craft import egress
from craft.exceptions import DomainError
from integrations.models import Opened

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MAX_KEY_BYTES = 900
TIMEOUT_SECONDS = 30
ERROR_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")


class StoreError(DomainError):
    """An object could not be kept, or found."""


class TargetError(StoreError):
    """The target is no place in a bucket."""

    code: ClassVar[str] = "invalid_config"


class StoreNotConfiguredError(StoreError):
    """The operator has not set the store up."""

    code: ClassVar[str] = "store_not_configured"


class StoreRefusedError(StoreError):
    """The store did not do as it was asked."""

    code: ClassVar[str] = "store_refused"


class StoreFailedError(StoreRefusedError):
    """The store may do it later."""

    status_code = 502


@dataclass(frozen=True)
class Account:
    """Who asks, and where."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str
    endpoint_url: str = ""
    session_token: str | None = field(default=None, repr=False)


def account_of(credential: Opened) -> Account:
    names = (
        "access_key_id",
        "secret_access_key",
        "region",
        "endpoint_url",
        "session_token",
    )
    fields = credential.fields
    return Account(**{name: fields[name] for name in names if name in fields})


def operators_account(bucket: str) -> Account:
    """Raises StoreNotConfiguredError unless the operator has set it up for this bucket."""
    if not (settings.S3_ACCESS_KEY_ID and settings.S3_SECRET_ACCESS_KEY):
        missing = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    elif bucket not in settings.S3_BUCKETS:
        missing = f"CRAFT_S3_BUCKETS so that it lists {bucket}"
    else:
        return Account(
            settings.S3_ACCESS_KEY_ID,
            settings.S3_SECRET_ACCESS_KEY,
            settings.S3_REGION,
            settings.S3_ENDPOINT_URL,
        )
    raise StoreNotConfiguredError(
        f"Nothing can be stored in {bucket} yet: use an aws credential, or ask the operator to set {missing}."
    )


def parse(target: str) -> tuple[str, str]:
    """The bucket and the key of an s3:// URL, or TargetError."""
    bucket, _, key = target.removeprefix("s3://").partition("/")
    if not BUCKET.fullmatch(bucket):
        raise TargetError(
            f"{bucket[:63]!r} is not the name of a bucket. Write s3://bucket/prefix/."
        )
    steps = key.removesuffix("/").split("/")
    if (
        not key.isprintable()
        or len(key.encode()) > MAX_KEY_BYTES
        or (key and any(step in ("", ".", "..") for step in steps))
    ):
        raise TargetError(
            f"The key in {target[:100]!r} is empty in parts, too long, or holds control characters."
        )
    return bucket, key


async def put(
    target: str, content: bytes, media_type: str, *, credential: Opened | None = None
) -> str:
    """Store one object, by this credential or as the operator has set it up; doing it again changes nothing."""
    bucket, key = parse(target)
    account = account_of(credential) if credential else operators_account(bucket)
    url = _url_of(account, bucket, key)
    headers = await asyncio.to_thread(
        _signed_headers, account, "PUT", url, content, media_type
    )
    answer = await egress.fetch(
        "PUT", url, headers=headers, content=content, timeout_seconds=TIMEOUT_SECONDS
    )
    _expect(answer, f"The bucket {bucket} did not take the object")
    return target


async def look_into(bucket: str, credential: Opened) -> None:
    """Ask for the first object of a bucket: that the key is good for it. Raises StoreRefusedError."""
    parse(f"s3://{bucket}")
    account = account_of(credential)
    url = f"{_url_of(account, bucket, '')}?list-type=2&max-keys=1"
    headers = await asyncio.to_thread(_signed_headers, account, "GET", url)
    answer = await egress.fetch(
        "GET", url, headers=headers, timeout_seconds=TIMEOUT_SECONDS
    )
    _expect(answer, f"The bucket {bucket} could not be listed")


def _expect(answer: egress.Fetched, what: str) -> None:
    if answer.status >= 300:
        code = ERROR_CODE.search(answer.text)
        kind = (
            StoreFailedError
            if answer.status >= 500 or answer.status == 429
            else StoreRefusedError
        )
        raise kind(f"{what}: {code[1] if code else f'status {answer.status}'}.")


def _url_of(account: Account, bucket: str, key: str) -> str:
    path = quote(key, safe="/~")
    if account.endpoint_url:
        return f"{account.endpoint_url.rstrip('/')}/{bucket}/{path}"
    host = f"s3.{account.region}.amazonaws.com"
    if "." in bucket:  # a wildcard certificate covers one label
        return f"https://{host}/{bucket}/{path}"
    return f"https://{bucket}.{host}/{path}"


def _signed_headers(
    account: Account,
    method: str,
    url: str,
    content: bytes | None = None,
    media_type: str = "",
) -> dict[str, str]:
    # botocore takes 0.1 s to import, and few processes store anything in a bucket.
    from botocore.auth import S3SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    headers = {"Content-Type": media_type} if media_type else {}
    request = AWSRequest(method, url, data=content, headers=headers)
    credentials = Credentials(
        account.access_key_id, account.secret_access_key, account.session_token
    )
    S3SigV4Auth(credentials, "s3", account.region).add_auth(request)
    return dict(request.headers.items())
