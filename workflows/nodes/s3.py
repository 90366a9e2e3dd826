"""Objects in buckets. botocore signs the request, offline; `craft.egress` sends it, so that an endpoint is judged like any other address."""

import asyncio
import re
from urllib.parse import quote

from django.conf import settings

from craft import egress
from workflows.nodes.base import NodeError

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MAX_KEY_BYTES = 900
TIMEOUT_SECONDS = 30
ERROR_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")


def parse(target: str) -> tuple[str, str]:
    """The bucket and the key of an s3:// URL, or NodeError."""
    bucket, _, key = target.removeprefix("s3://").partition("/")
    if not BUCKET.fullmatch(bucket):
        raise NodeError(
            f"{bucket[:63]!r} is not the name of a bucket. Write s3://bucket/prefix/.",
            code="invalid_config",
        )
    steps = key.removesuffix("/").split("/")
    if (
        not key.isprintable()
        or len(key.encode()) > MAX_KEY_BYTES
        or (key and any(step in ("", ".", "..") for step in steps))
    ):
        raise NodeError(
            f"The key in {target[:100]!r} is empty in parts, too long, or holds control characters.",
            code="invalid_config",
        )
    return bucket, key


async def put(target: str, content: bytes, media_type: str) -> str:
    """Store one object; doing it again changes nothing."""
    bucket, key = parse(target)
    _require_settings(bucket)
    url = _url_of(bucket, key)
    headers = await asyncio.to_thread(_signed_headers, url, content, media_type)
    answer = await egress.fetch(
        "PUT", url, headers=headers, content=content, timeout_seconds=TIMEOUT_SECONDS
    )
    if answer.status >= 300:
        code = ERROR_CODE.search(answer.text)
        raise NodeError(
            f"The bucket {bucket} did not take the object: {code[1] if code else f'status {answer.status}'}.",
            code="store_refused",
            retryable=answer.status >= 500 or answer.status == 429,
        )
    return target


def _require_settings(bucket: str) -> None:
    if not (settings.S3_ACCESS_KEY_ID and settings.S3_SECRET_ACCESS_KEY):
        missing = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    elif bucket not in settings.S3_BUCKETS:
        missing = f"CRAFT_S3_BUCKETS so that it lists {bucket}"
    else:
        return
    raise NodeError(
        f"Nothing can be stored in {bucket} yet: ask the operator to set {missing}.",
        code="store_not_configured",
    )


def _url_of(bucket: str, key: str) -> str:
    path = quote(key, safe="/~")
    if settings.S3_ENDPOINT_URL:
        return f"{settings.S3_ENDPOINT_URL.rstrip('/')}/{bucket}/{path}"
    host = f"s3.{settings.S3_REGION}.amazonaws.com"
    if "." in bucket:  # a wildcard certificate covers one label
        return f"https://{host}/{bucket}/{path}"
    return f"https://{bucket}.{host}/{path}"


def _signed_headers(url: str, content: bytes, media_type: str) -> dict[str, str]:
    # botocore takes 0.1 s to import, and few processes store anything in a bucket.
    from botocore.auth import S3SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    request = AWSRequest("PUT", url, data=content, headers={"Content-Type": media_type})
    credentials = Credentials(settings.S3_ACCESS_KEY_ID, settings.S3_SECRET_ACCESS_KEY)
    S3SigV4Auth(credentials, "s3", settings.S3_REGION).add_auth(request)
    return dict(request.headers.items())
