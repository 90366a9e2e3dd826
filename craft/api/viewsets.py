"""The viewsets that apps build on: plain DRF, already narrowed to the caller's company.

    class AgentViewSet(CompanyModelViewSet):
        queryset = Agent.objects.all()
        serializer_class = AgentSerializer
        access = MEMBERS_WRITE

        def perform_create(self, serializer):
            serializer.instance = services.create_agent(company=self.request.company, **serializer.validated_data)

A foreign row is a 404 by construction. A viewset that does not say who may call it stops the start (`craft/checks.py`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from django.urls import NoReverseMatch, reverse
from rest_framework import mixins, status, viewsets
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from craft.api.envelopes import Deleted
from craft.api.filters import filter_rows
from craft.api.idempotency import answered_once
from craft.api.limits import charge_call, refuse_without_api_access
from craft.models import CompanyQuerySet

Level = Literal["public", "read", "write", "admin", "person", "owner"]
"""What a call needs: nothing, a viewer, a member, an admin, and of a key the permission of that name; or what no key is enough for: a person who is signed
in, the company's owner who is signed in."""

Access = dict[str, Level]
"""Which level each action needs: by the action's name, or else by `safe` (GET) and `unsafe` (all others)."""

MEMBERS_WRITE: Access = {"safe": "read", "unsafe": "write"}
ADMINS_WRITE: Access = {"safe": "read", "unsafe": "admin"}
ADMINS_ONLY: Access = {"safe": "admin", "unsafe": "admin"}
PUBLIC: Access = {"safe": "public", "unsafe": "public"}
SIGNED_IN: Access = {"safe": "read", "unsafe": "read"}
OWN_ACCOUNT: Access = {"safe": "read", "unsafe": "person"}


def level_for(access: Access, action: str | None, method: str) -> Level:
    if action in access:
        return access[action]
    return access["safe" if method in {"GET", "HEAD", "OPTIONS"} else "unsafe"]


class ApiViewSet(viewsets.GenericViewSet[Any]):
    """A viewset that says who may call it."""

    access: ClassVar[Access]
    is_live_only: ClassVar[bool] = False
    """For people and the account itself, of which a sandbox has none of its own: a test key reads the live ones, and may change nothing."""
    problems: ClassVar[dict[str, tuple[int, ...]]] = {}
    """For the OpenAPI document: the errors of an action beside those that follow from its method, path and level."""
    flat: ClassVar[frozenset[str]] = frozenset()
    """For the OpenAPI document: the actions that may answer with a `FlatResponse`."""
    deletes: ClassVar[dict[str, str]] = {}
    """For the OpenAPI document: the actions beside `destroy` that delete something, and what that is called."""
    keyless: ClassVar[frozenset[str]] = frozenset()
    """For the OpenAPI document: the actions that a caller may prove itself to in another way than by a key."""
    unheld: ClassVar[frozenset[str]] = frozenset()
    """The POST actions that ask models, run workflows, read uploads, copy files or hash passwords: they must not stand in one transaction (`craft/api/idempotency.py`)."""
    lookup_value_regex = "[A-Za-z0-9_-]{1,64}"  # any other text is no id: a 404 before any database sees it
    http_method_names = ["get", "post", "put", "patch", "delete", "head", "options"]

    @property
    def level(self) -> Level:
        """What the call at hand needs; `accounts.permissions.HasAccess` asks."""
        return level_for(
            self.access, getattr(self, "action", None), self.request.method or "GET"
        )

    def perform_authentication(self, request: Request) -> None:
        """Find out who calls, and count the call against them. On a public call a stale token is no reason to refuse."""
        try:
            company = getattr(request, "company", None) if request.user else None
        except APIException:
            charge_call(request, None)
            if self.level != "public":
                raise
        else:
            charge_call(request, company)
            if company is not None and self.level != "public":
                is_by_key = getattr(request.auth, "kind", "") == "key"
                refuse_without_api_access(
                    request._request, company, is_by_key=is_by_key
                )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Once it is known that the caller may: a POST with a key acts once."""
        super().initial(request, *args, **kwargs)
        handler = getattr(self, "post", None)
        if request.method == "POST" and handler is not None:
            self.post = answered_once(self, handler)

    def read(self, serializer_class: type[BaseSerializer[Any]]) -> dict[str, Any]:
        """The body, checked by this serializer."""
        serializer = serializer_class(
            data=self.request.data, context=self.get_serializer_context()
        )
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def list_rows(
        self,
        rows: Any,
        serializer_class: type[BaseSerializer[Any]],
        filterset_class: Any = None,
    ) -> Response:
        """A list that an action answers, filtered and paged as `list` does it."""
        found = filter_rows(self, rows, filterset_class)
        page = self.paginate_queryset(found)
        serializer = serializer_class(
            page, many=True, context=self.get_serializer_context()
        )
        return self.get_paginated_response(serializer.data)

    def location_of(self, data: Any) -> dict[str, str]:
        """The `Location` of what was made, at the base path that was called."""
        match, identifier = self.request.resolver_match, (data or {}).get("id")
        if match is None or identifier is None or not hasattr(self, "basename"):
            return {}
        name = f"{self.basename}-detail"
        try:
            path = reverse(
                f"{match.namespace}:{name}",
                kwargs={
                    **self.kwargs,
                    self.lookup_url_kwarg or self.lookup_field: identifier,
                },
            )
        except NoReverseMatch:
            return {}
        return {"Location": self.request.build_absolute_uri(path)}


class CompanyViewSet(ApiViewSet):
    """Rows of the caller's company. Its `queryset` starts from the guarded `objects` of a company's table."""

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        if not isinstance(queryset, CompanyQuerySet):
            raise TypeError(
                f"{type(self).__name__}.queryset must start from the guarded `objects` of a company's table."
            )
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        return queryset.for_company(self.request.company)  # type: ignore[attr-defined]  # set by accounts.authentication


class DeleteMixin:
    """DRF's `DestroyModelMixin`, but the answer says what is gone."""

    get_object: Any

    def perform_destroy(self, instance: Any) -> None:
        instance.delete()

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        instance = self.get_object()
        identifier, label = instance.pk, str(instance._meta.verbose_name)
        self.perform_destroy(instance)
        return Response(Deleted(identifier, label[:1].upper() + label[1:]))


class CompanyModelViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    DeleteMixin,
    CompanyViewSet,
):
    """Create, read, update, delete and list. `PUT` is partial, as in document 001."""

    def get_success_headers(self, data: Any) -> dict[str, str]:
        return self.location_of(data)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        kwargs["partial"] = True
        return super().update(request, *args, **kwargs)


def created(
    view: ApiViewSet, data: Any, *, response_class: type[Response] = Response
) -> Response:
    """The answer to a POST that made a row."""
    return response_class(
        data, status=status.HTTP_201_CREATED, headers=view.location_of(data)
    )
