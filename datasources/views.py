from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.viewsets import (
    MEMBERS_WRITE,
    Access,
    CompanyViewSet,
    DeleteMixin,
    created,
)
from datasources import services
from datasources.models import DataSource
from datasources.serializers import (
    ConnectionTestSerializer,
    DataSourceListSerializer,
    DataSourceSerializer,
    QueryResultSerializer,
    QuerySerializer,
    UploadSerializer,
)
from datasources.uploads import Upload, UploadTooLargeError

FORM_BYTES = 64 * 1024  # what a form weighs beside its files


class DiskMultiPartParser(MultiPartParser):
    """Files go to disk as they come in."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        request = (parser_context or {})["request"]
        request.upload_handlers = [TemporaryFileUploadHandler(request)]
        return super().parse(stream, media_type, parser_context)


class DataSourceViewSet(
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    DeleteMixin,
    CompanyViewSet,
):
    """Tables that agents and workflows may ask: files that were uploaded."""

    queryset = DataSource.objects.all()
    serializer_class = DataSourceSerializer
    access: ClassVar[Access] = {
        **MEMBERS_WRITE,
        "query": "read",
        "test_connection": "read",
    }
    unheld = frozenset({"upload", "query", "test_connection"})
    problems: ClassVar = {"upload": (413, 415), "query": (404, 503)}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.action == "upload":
            check_length(request)
        super().initial(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        return queryset if self.action == "list" else queryset.with_tables()

    def get_serializer_class(self) -> Any:
        listed = self.action == "list"
        return DataSourceListSerializer if listed else DataSourceSerializer

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        kwargs["partial"] = True
        return super().update(request, *args, **kwargs)

    def perform_update(self, serializer: Any) -> None:
        serializer.instance = services.update_source(
            serializer.instance, **serializer.validated_data
        )

    def perform_destroy(self, instance: DataSource) -> None:
        services.delete_source(instance)

    @extend_schema(request=UploadSerializer, responses={201: DataSourceSerializer})
    @action(detail=False, methods=["post"], parser_classes=[DiskMultiPartParser])
    def upload(self, request: Request) -> Response:
        """Make a source of one or more files. `orders.csv` becomes the table `orders`, a workbook's sheets `orders_sheet1` and so on."""
        caller, form = credentials_of(request), self.read(UploadSerializer)
        with on_disk(form["file"]) as files:
            source = services.create_file_source(
                company=caller.company,
                user=caller.user,
                files=files,
                source_name=form.get("source_name", ""),
            )
        return created(self, self.get_serializer(source).data)

    @extend_schema(request=QuerySerializer, responses=QueryResultSerializer)
    @action(detail=False, methods=["post"])
    def query(self, request: Request) -> Response:
        """Ask one question in SQL. Only reading is possible, and only of the source's own tables."""
        wanted = self.read(QuerySerializer)
        source = self.get_queryset().filter(pk=wanted["connection_id"]).first()
        if source is None:
            raise NotFound
        result = services.run_query(
            company=credentials_of(request).company,
            source=source,
            sql=wanted["query"],
            row_limit=wanted.get("limit", services.DEFAULT_ROWS),
        )
        return Response(dict(QueryResultSerializer(result).data))

    @extend_schema(request=None, responses=ConnectionTestSerializer)
    @action(detail=True, methods=["post"], url_path="test-connection")
    def test_connection(self, request: Request, pk: str) -> Response:
        """Whether the source answers, and how fast."""
        result = services.test_connection(self.get_object())
        return Response(dict(ConnectionTestSerializer(result).data))


def check_length(request: Request) -> None:
    """Refuse what is too large before a byte of it is read."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    most = settings.UPLOAD_MAX_BYTES
    if not length.isdigit() or int(length) > most + FORM_BYTES:
        raise UploadTooLargeError(
            f"An upload may be {most // 1024**2} MB at most, all its files together."
        )


@contextmanager
def on_disk(files: list[UploadedFile[Any]]) -> Iterator[list[Upload]]:
    """The files as paths. Most are on disk already; a session's form may have been read before our parser came to it."""
    with tempfile.TemporaryDirectory(prefix="craft-upload-") as folder:
        uploads = []
        for number, file in enumerate(files):
            if hasattr(file, "temporary_file_path"):
                path = Path(file.temporary_file_path())
            else:
                path = Path(folder) / str(number)
                with path.open("wb") as copy:
                    shutil.copyfileobj(file, copy)
            uploads.append(Upload(name=str(file.name), path=path))
        yield uploads
