from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.filters import MemberFilter
from accounts.models import Company, Membership, Outlet
from accounts.serializers.companies import (
    CompanySerializer,
    IndustriesSerializer,
    OutletSerializer,
)
from accounts.serializers.fields import INDUSTRIES
from accounts.serializers.people import (
    MemberSerializer,
    PasswordConfirmationSerializer,
    TransferSerializer,
)
from accounts.services import companies, members, privacy
from craft.api.envelopes import Deleted
from craft.api.viewsets import (
    ADMINS_ONLY,
    ADMINS_WRITE,
    MEMBERS_WRITE,
    PUBLIC,
    Access,
    ApiViewSet,
    CompanyModelViewSet,
)
from craft.exceptions import InvalidError

BELOW_COMPANY = r"companies/(?P<company_id>[A-Za-z0-9_-]{1,64})"


def own_company(request: Request, identifier: str) -> Company:
    """The caller's, if that is the one that is named; also a test key names the live one. Another's is as unknown as one that never was."""
    company = credentials_of(request).membership.company
    if identifier != str(company.pk):
        raise Http404
    return company


class BelowCompanyMixin:
    """For what stands below `/companies/{company_id}`."""

    kwargs: dict[str, Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]  # a mixin of viewsets
        own_company(request, self.kwargs["company_id"])


class CompanyProfileViewSet(
    mixins.RetrieveModelMixin, mixins.UpdateModelMixin, ApiViewSet
):
    """Your company."""

    queryset = Company.objects.all()
    serializer_class = CompanySerializer
    access: ClassVar[Access] = {
        **ADMINS_WRITE,
        "transfer_ownership": "owner",
        "destroy": "owner",
    }
    is_live_only = True
    problems: ClassVar = {"transfer_ownership": (409,), "destroy": (400, 413, 415)}

    def get_object(self) -> Company:
        return own_company(self.request, self.kwargs["pk"])

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        kwargs["partial"] = True
        return super().update(request, *args, **kwargs)

    def perform_update(self, serializer: Any) -> None:
        serializer.instance = companies.update_company(
            serializer.instance, **serializer.validated_data
        )

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete your company, with all its records, files, keys and people's places in it. Send your password in the body: `{"password": "…"}`. Nothing of it
        comes back."""
        company = self.get_object()
        privacy.delete_company(
            company,
            user=credentials_of(request).user,
            **self.read(PasswordConfirmationSerializer),
        )
        return Response(Deleted(company.pk, "Company"))

    @extend_schema(request=TransferSerializer, responses=MemberSerializer)
    @action(detail=True, methods=["post"], url_path="transfer-ownership")
    def transfer_ownership(self, request: Request, pk: str) -> Response:
        """Hand the company over to one of its users, who becomes an admin if they are not. You stay an admin. Answers the new owner."""
        company = self.get_object()
        user_id = self.read(TransferSerializer)["user_id"]
        to = company.memberships.filter(user=user_id).first()
        if to is None:
            raise InvalidError(
                "There is no such person in your company.",
                details={"user_id": f"There is no such user: {user_id}."},
            )
        membership = members.transfer_ownership(
            owner=credentials_of(request).membership, to=to
        )
        return Response(MemberSerializer(membership).data)


class MemberViewSet(
    BelowCompanyMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    ApiViewSet,
):
    """The people in your company."""

    queryset = Membership.objects.select_related("user", "company")
    serializer_class = MemberSerializer
    filterset_class = MemberFilter
    access = ADMINS_ONLY
    is_live_only = True
    lookup_field = "user_id"
    lookup_url_kwarg = "pk"
    problems: ClassVar = {
        "update": (409,),
        "partial_update": (409,),
        "destroy": (409,),
    }

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        company = credentials_of(self.request).membership.company
        return super().get_queryset().filter(company=company)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change somebody's role. It holds from their next call on. The owner's can't be changed."""
        kwargs["partial"] = True
        return super().update(request, *args, **kwargs)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change somebody's role. It holds from their next call on. The owner's can't be changed."""
        return self.update(request, *args, **kwargs)

    def perform_update(self, serializer: Any) -> None:
        membership = serializer.instance
        role = serializer.validated_data.get("role", membership.role)
        serializer.instance = members.change_role(membership, role=role)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Take somebody out of the company. Their keys and tokens for it end at once; what they made stays. The owner can't be removed."""
        membership = self.get_object()
        members.remove_member(membership)
        return Response(Deleted(membership.user_id, "Membership"))


class OutletViewSet(BelowCompanyMixin, CompanyModelViewSet):
    """The outlets of your company: shops, offices."""

    queryset = Outlet.objects.all()
    serializer_class = OutletSerializer
    access = MEMBERS_WRITE

    def perform_create(self, serializer: Any) -> None:
        serializer.instance = companies.create_outlet(
            company=credentials_of(self.request).company, **serializer.validated_data
        )

    def perform_update(self, serializer: Any) -> None:
        serializer.instance = companies.update_outlet(
            serializer.instance, **serializer.validated_data
        )

    def perform_destroy(self, instance: Outlet) -> None:
        companies.delete_outlet(instance)


class UtilsViewSet(ApiViewSet):
    """What forms need."""

    access = PUBLIC
    pagination_class = None
    filter_backends = []

    @extend_schema(responses=IndustriesSerializer)
    @action(detail=False, methods=["get"])
    def industries(self, request: Request) -> Response:
        """The industries that a company may name."""
        return Response({"industries": INDUSTRIES})
