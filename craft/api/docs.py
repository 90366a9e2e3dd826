"""`/docs/`: the API test console, and the documents that it reads. All of it is served from here; nothing is asked of another host."""

import hashlib
from functools import cache
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import etag, require_safe

from craft.api.schema import DOCUMENTS


def document_path(name: str) -> Path:
    return Path(settings.BASE_DIR) / "openapi" / f"{name}.json"


@cache
def read_document(name: str) -> tuple[bytes, str]:
    """The committed document and its ETag: read once, since it changes with the code only."""
    text = document_path(name).read_bytes()
    return text, f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def find_etag(request: HttpRequest, name: str) -> str | None:
    return read_document(name)[1] if name in DOCUMENTS else None


@require_safe
def console(request: HttpRequest) -> HttpResponse:
    bases = [(name, dialect.prefix) for name, dialect in DOCUMENTS.items()]
    return render(request, "craft/docs.html", {"bases": bases})


@require_safe
@etag(find_etag)
def document(request: HttpRequest, name: str) -> HttpResponse:
    if name not in DOCUMENTS:
        raise Http404
    return HttpResponse(read_document(name)[0], content_type="application/json")


urlpatterns: list[URLPattern] = [
    path("", console, name="docs"),
    path("openapi/<slug:name>.json", document, name="openapi"),
]
