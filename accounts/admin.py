from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import ApiKey, Company, Membership, User
from accounts.services import delete_api_key
from craft.admin import ConsoleAdmin

admin.site.unregister(Group)


class MembershipInline(TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ["user", "company"]


@admin.register(Company)
class CompanyAdmin(ConsoleAdmin):
    list_display = ["name", "id", "people", "created_at"]
    search_fields = ["name", "id"]
    inlines = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Company]:
        return super().get_queryset(request).annotate(people_count=Count("memberships"))

    @admin.display(ordering="people_count")
    def people(self, company: Any) -> int:
        return int(company.people_count)


@admin.register(User)
class UserAdmin(ConsoleAdmin, DjangoUserAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = [
        "email",
        "full_name",
        "companies",
        "is_verified",
        "is_staff",
        "is_active",
        "last_login",
    ]
    list_filter = ["is_staff", "is_active", "is_verified"]
    search_fields = ["email", "full_name"]
    ordering = ["-id"]
    filter_horizontal: list[str] = []
    readonly_fields = ["last_login", "created_at"]
    inlines = [MembershipInline]
    fieldsets = [
        (None, {"fields": ["email", "full_name", "password"]}),
        (
            "Standing",
            {
                "fields": [
                    "is_active",
                    "is_verified",
                    "is_staff",
                    "is_superuser",
                    "last_login",
                    "created_at",
                ]
            },
        ),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "full_name", "password1", "password2"]})
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("memberships__company")

    @admin.display
    def companies(self, user: User) -> str:
        return (
            ", ".join(membership.company.name for membership in user.memberships.all())
            or "-"
        )


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin):
    """Keys are seen and ended here, never made: a secret is shown to its owner alone."""

    list_display = [
        "name",
        "shown",
        "company",
        "owner",
        "may",
        "last_used_at",
        "created_at",
    ]
    list_select_related = ["company", "membership__user"]
    search_fields = [
        "name",
        "id",
        "last_four",
        "company__name",
        "membership__user__email",
    ]
    readonly_fields = [
        "name",
        "shown",
        "company",
        "owner",
        "may",
        "last_used_at",
        "created_at",
    ]
    fields = readonly_fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        delete_api_key(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for api_key in queryset:
            delete_api_key(api_key)

    @admin.display(description="Key")
    def shown(self, api_key: ApiKey) -> str:
        return f"{api_key.prefix}…{api_key.last_four}"

    @admin.display(ordering="membership__user__email")
    def owner(self, api_key: ApiKey) -> str:
        return api_key.membership.user.email

    @admin.display(description="Permissions")
    def may(self, api_key: ApiKey) -> str:
        return ", ".join(api_key.permissions)
