from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.models import ApiKey
from accounts.serializers.keys import ApiKeySerializer, NewApiKeySerializer
from accounts.services import keys
from craft.api.envelopes import dialect_of
from craft.api.viewsets import ADMINS_ONLY, CompanyViewSet, DeleteMixin, created


class ApiKeyViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    DeleteMixin,
    CompanyViewSet,
):
    """Keys for programs that call this API."""

    queryset = ApiKey.objects.select_related("membership")
    serializer_class = ApiKeySerializer
    access = ADMINS_ONLY

    @extend_schema(request=ApiKeySerializer, responses={201: NewApiKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key. Copy it now: it is not shown again."""
        new = keys.create_api_key(
            membership=credentials_of(request).membership,
            look=dialect_of(request).key_prefix,
            granted=credentials_of(request).levels,
            **self.read(ApiKeySerializer),
        )
        return created(
            self, NewApiKeySerializer(new.api_key, context={"secret": new.secret}).data
        )

    def perform_destroy(self, instance: Any) -> None:
        keys.delete_api_key(instance)
