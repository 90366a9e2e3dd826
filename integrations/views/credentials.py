from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.exceptions import QueryError
from craft.api.viewsets import MEMBERS_WRITE, CompanyModelViewSet
from integrations.models import TYPES, Credential
from integrations.serializers.credentials import (
    CredentialSerializer,
    CredentialTypeSerializer,
    TrialSerializer,
    UsedBySerializer,
)
from integrations.services import credentials, trials

FORCE = OpenApiParameter(
    "force",
    bool,
    description="Do it although workflows name the credential: those fail until they are changed.",
)


class CredentialViewSet(CompanyModelViewSet):
    """Secrets for services outside. Workflows use them; nobody can read them again."""

    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer
    access = MEMBERS_WRITE
    unheld = frozenset({"test"})
    problems = {
        "create": (409,),
        "update": (409,),
        "partial_update": (409,),
        "destroy": (409,),
    }

    def perform_create(self, serializer: Any) -> None:
        caller = credentials_of(self.request)
        serializer.instance = credentials.create_credential(
            company=caller.company,
            user=caller.user,
            **_given(serializer.validated_data),
        )

    @extend_schema(parameters=[FORCE])
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change its name or its fields. Another secret takes the place of the one before at once; the audit log says that, and not which."""
        return super().update(request, *args, **kwargs)

    @extend_schema(parameters=[FORCE])
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change its name or its fields. Another secret takes the place of the one before at once; the audit log says that, and not which."""
        return super().partial_update(request, *args, **kwargs)

    def perform_update(self, serializer: Any) -> None:
        changes = _given(serializer.validated_data)
        changes.pop("type", None)
        serializer.instance = credentials.update_credential(
            serializer.instance, force=_is_forced(self.request), **changes
        )

    @extend_schema(parameters=[FORCE])
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete it. While workflows name it that is a 409 that says which, unless you force it."""
        return super().destroy(request, *args, **kwargs)

    def perform_destroy(self, instance: Credential) -> None:
        credentials.delete_credential(instance, force=_is_forced(self.request))

    @extend_schema(request=None, responses=TrialSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Try it out where it is for. `api_key`, `bearer` and `basic` are shown at their `test_url`, `oauth2_client` fetches a token, `aws` lists its `bucket`, `smtp` logs in. `success` says how it went."""
        trial = trials.try_credential(self.get_object())
        return Response(dict(TrialSerializer(trial).data))

    @extend_schema(responses=UsedBySerializer)
    @action(detail=True, methods=["get"], url_path="used-by")
    def used_by(self, request: Request, pk: str) -> Response:
        """The workflows whose current version names it."""
        credential = self.get_object()
        uses = credentials.uses_of(credential)
        found = {"credential_id": credential.pk, "used_by": uses, "count": len(uses)}
        return Response(dict(UsedBySerializer(found).data))

    @extend_schema(responses=CredentialTypeSerializer(many=True))
    @action(detail=False, methods=["get"], pagination_class=None)
    def types(self, request: Request) -> Response:
        """Every type of credential, with the schema of its fields."""
        rows = [
            {
                "type": name,
                "summary": kind.summary,
                "takes_value": bool(kind.single),
                "fields_schema": kind.schema,
            }
            for name, kind in TYPES.items()
        ]
        return Response(CredentialTypeSerializer(rows, many=True).data)


def _given(validated: Any) -> dict[str, Any]:
    given = dict(validated)
    if "plain" in given:
        given["fields"] = given.pop("plain")
    return given


def _is_forced(request: Request) -> bool:
    said = request.query_params.get("force", "false").lower()
    if said not in {"true", "false"}:
        raise QueryError({"force": "Must be true or false."})
    return said == "true"
