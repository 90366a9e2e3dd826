from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.models import ApiKey, KeyMode
from accounts.serializers.keys import (
    ApiKeySerializer,
    NewApiKeySerializer,
    RotationSerializer,
)
from accounts.services import keys
from craft.api.envelopes import dialect_of
from craft.api.viewsets import ADMINS_ONLY, CompanyViewSet, DeleteMixin, created


class ApiKeyViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    DeleteMixin,
    CompanyViewSet,
):
    """Keys for programs that call this API."""

    queryset = ApiKey.objects.select_related("membership")
    serializer_class = ApiKeySerializer
    access = ADMINS_ONLY

    def get_queryset(self) -> Any:
        """Test keys too are the live company's. With one of them only its like are seen."""
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        credentials = credentials_of(self.request)
        rows = self.queryset.for_company(credentials.membership.company_id)
        return rows.filter(mode=KeyMode.TEST) if credentials.sandbox else rows

    @property
    def grantor(self) -> keys.Grantor:
        credentials = credentials_of(self.request)
        return keys.Grantor(credentials.levels, credentials.api_key)

    @extend_schema(request=ApiKeySerializer, responses={201: NewApiKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key. Copy it now: it is not shown again. A key can't make one that reaches further than itself."""
        new = keys.create_api_key(
            membership=credentials_of(request).membership,
            look=dialect_of(request).key_prefix,
            by=self.grantor,
            **self.read(ApiKeySerializer),
        )
        return created(
            self, NewApiKeySerializer(new.api_key, context={"secret": new.secret}).data
        )

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change a key's name, permissions, expiry or addresses. It holds at once."""
        kwargs["partial"] = True
        return super().update(request, *args, **kwargs)

    def perform_update(self, serializer: Any) -> None:
        changes = dict(serializer.validated_data)
        changes.pop("mode", None)
        serializer.instance = keys.update_api_key(
            serializer.instance, by=self.grantor, **changes
        )

    @extend_schema(request=RotationSerializer, responses=NewApiKeySerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Give the key a new secret, shown this once. The old one goes on working for `overlap_seconds`, so that nothing stops while you replace it."""
        new = keys.rotate_api_key(
            self.get_object(), by=self.grantor, **self.read(RotationSerializer)
        )
        shown = NewApiKeySerializer(new.api_key, context={"secret": new.secret})
        return Response(shown.data)

    def perform_destroy(self, instance: Any) -> None:
        keys.delete_api_key(instance)
