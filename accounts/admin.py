from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action as unfold_action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import (
    ApiKey,
    AuditEntry,
    Company,
    Invitation,
    KeyMode,
    Mail,
    Membership,
    Outlet,
    User,
    normalise_email,
)
from accounts.services import companies, invitations, members, people, two_factor
from accounts.services.audit import verify_companies
from accounts.services.keys import delete_api_key
from accounts.services.mail import render as render_mail
from craft.admin import (
    CompanyColumn,
    ConsoleAdmin,
    ConsoleInline,
    ReadOnlyAdmin,
    as_operator,
    count_of,
    is_operator,
)
from craft.admin.navigation import company_columns
from craft.admin.shown import (
    as_badge,
    as_figure,
    as_id,
    as_json,
    as_link,
    as_moment,
    as_quiet,
    as_row_link,
    exactly,
    joined,
    list_of,
)
from craft.admin.writing import ConsoleFormSet, Writer
from craft.events import current_actor
from craft.exceptions import DomainError

FAULTS_SHOWN = 10
READ_AT_ONCE = 10_000
PLACE = "accounts.admin.audit"
OWN_TWO_FACTOR = (
    "Your own is turned off in your settings, with your password and a code."
)

admin.site.unregister(Group)  # there is one kind of operator


class MembershipWriter(Writer):
    def create(self, row: Membership) -> None:
        members.add_member(company=row.company, user=row.user, role=row.role)

    def update(self, row: Membership, values: dict[str, Any]) -> None:
        members.change_role(row, **values)

    def delete(self, row: Membership) -> None:
        members.remove_member(row)


class MembershipFormSet(ConsoleFormSet):
    writer = MembershipWriter()


class MembershipInline(ConsoleInline):
    """Memberships that there are: the role may change, not who is meant."""

    model = Membership
    formset = MembershipFormSet
    readonly_fields = ["person", "place", "ownership", "since"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    has_change_permission = has_view_permission
    has_delete_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("user", "company")  # type: ignore[no-any-return]  # unfold is not typed

    @admin.display
    def person(self, membership: Membership) -> SafeString:
        return as_row_link(membership.user)

    @admin.display(description="Company")
    def place(self, membership: Membership) -> SafeString:
        return as_row_link(membership.company)

    @admin.display(description="Owner")
    def ownership(self, membership: Membership) -> str:
        return "Owner" if membership.is_owner else ""

    @admin.display(description="Since")
    def since(self, membership: Membership) -> SafeString:
        return as_moment(membership.created_at)


class NewMembershipInline(ConsoleInline):
    """Apart from those that there are: one query for each row's name would be theirs too."""

    model = Membership
    formset = MembershipFormSet

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    has_add_permission = has_view_permission
    has_change_permission = has_view_permission

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).none()  # type: ignore[no-any-return]  # unfold is not typed


class PeopleInline(MembershipInline):
    verbose_name_plural = "people"
    fields = ["person", "role", "ownership", "since"]


class NewPersonInline(NewMembershipInline):
    verbose_name = "person"
    verbose_name_plural = "somebody new in this company"
    fields = ["user", "role"]
    autocomplete_fields = ["user"]


class PlacesInline(MembershipInline):
    verbose_name_plural = "companies"
    fields = ["place", "role", "ownership", "since"]


class NewPlaceInline(NewMembershipInline):
    verbose_name = "company"
    verbose_name_plural = "another company for this person"
    fields = ["company", "role"]
    autocomplete_fields = ["company"]


class CompanyWriter(Writer):
    def update(self, row: Company, values: dict[str, Any]) -> None:
        companies.update_company(row, **values)


@admin.register(Company)
class CompanyAdmin(ConsoleAdmin):
    """A company comes with its owner and its plan, by registering, so none is added here; and none is deleted with all that it made."""

    search_fields = ["name", "=id"]
    ordering = ["-id"]
    fields = ["name"]
    writer = CompanyWriter()
    inlines = [PeopleInline, NewPersonInline]
    change_form_template = "accounts/admin/company.html"
    empty_hint = "A company comes into being when somebody registers: POST /v1/auth/register, or the API console."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        shown = [_as_column(*pair) for pair in company_columns().items()]
        return ["name", "people", *shown, "since"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Company]:
        values = {column.name: column.value() for column in company_columns().values()}
        rows: QuerySet[Company] = super().get_queryset(request)
        people = count_of(Membership)
        return rows.annotate(people_count=people, **values)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        company = context["original"]
        figures = [
            (column.title, getattr(company, column.name), _list(model, company))
            for model, column in company_columns().items()
        ]
        context["figures"] = figures
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(ordering="people_count")
    def people(self, company: Any) -> int:
        return int(company.people_count)

    @admin.display(description="Since", ordering="created_at")
    def since(self, company: Company) -> SafeString:
        return as_moment(company.created_at)


def _list(model: type[Model], company: Company) -> str:
    return list_of(model, company__id__exact=company.pk)


def _as_column(
    model: type[Model], column: CompanyColumn
) -> Callable[[Company], SafeString]:
    @admin.display(description=column.title, ordering=column.name)
    def shown(company: Company) -> SafeString:
        value = getattr(company, column.name)
        return (
            as_link(_list(model, company), as_figure(value)) if value else as_quiet(0)
        )

    shown.__name__ = column.name
    return shown


class PersonWriter(Writer):
    def create(self, row: User) -> None:
        row.email = normalise_email(row.email)
        super().create(row)

    def update(self, row: User, values: dict[str, Any]) -> None:
        people.update_person(row, **values)


class PasswordForm(AdminPasswordChangeForm):
    def save(self, commit: bool = True) -> User:
        is_usable = self.cleaned_data["set_usable_password"]
        password = self.cleaned_data["password1"] if is_usable else None
        people.replace_password(self.user, password)
        return self.user  # type: ignore[no-any-return]  # unfold is not typed


@admin.register(User)
class UserAdmin(ConsoleAdmin, DjangoUserAdmin):  # type: ignore[misc,type-arg]  # its stubs narrow the paginator, and unfold has none
    """A person who is to lose access is made inactive: deleting them would take what they made out of their companies' history."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = PasswordForm
    writer = PersonWriter()
    list_display = [
        "email",
        "full_name",
        "places",
        "standing",
        "seen",
        "since",
    ]
    list_filter = ["is_staff", "is_active", "is_verified"]
    search_fields = ["email", "full_name", "memberships__company__name"]
    ordering = ["-id"]
    filter_horizontal = ()
    readonly_fields = ["id", "password_link", "codes", "seen", "since"]
    inlines = [PlacesInline, NewPlaceInline]
    fieldsets = [
        (None, {"fields": ["email", "full_name", "id", "password_link", "codes"]}),
        (
            "Standing",
            {"fields": ["is_active", "is_verified", "is_staff", "seen", "since"]},
        ),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "full_name", "password1", "password2", "is_staff"]})
    ]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("memberships__company")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Nobody locks themselves out."""
        own = (
            ["is_active", "is_staff"] if obj is not None and obj == request.user else []
        )
        return [*super().get_readonly_fields(request, obj), *own]

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return super().get_inline_instances(request, obj) if obj is not None else []

    @admin.display(description="Companies")
    def places(self, user: User) -> SafeString:
        return joined(
            [
                format_html(
                    '{} <span class="craft-quiet">{}</span>',
                    as_row_link(membership.company),
                    "owner" if membership.is_owner else membership.role,
                )
                for membership in user.memberships.all()
            ]
        )

    @admin.display(description="Password")
    def password_link(self, user: User) -> SafeString:
        url = reverse("admin:auth_user_password_change", args=[user.pk])
        return as_link(url, "Set a new one")

    @admin.display(description="Two-factor sign-in")
    def codes(self, user: User) -> SafeString:
        state = two_factor.state_of(user)
        if not state.is_enabled:
            return as_quiet("off")
        shown = [
            format_html("on since {}", as_moment(state.enabled_at)),
            as_quiet(f"recovery codes left: {state.recovery_codes_left}"),
        ]
        if current_actor.get().user_id != user.pk:  # nobody turns their own off here
            url = reverse("admin:accounts_user_two_factor", args=[user.pk])
            shown.append(as_link(url, "Turn off"))
        return joined(shown, " · ")

    def get_urls(self) -> list[URLPattern]:
        guarded = as_operator(self.admin_site.admin_view(self.two_factor_view))
        route = "<path:object_id>/two-factor/"
        own = path(route, guarded, name="accounts_user_two_factor")
        return [own, *super().get_urls()]

    def two_factor_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """For whoever has lost the app and the recovery codes."""
        user = self.get_object(request, object_id)
        if user is None or not self.has_change_permission(request, user):
            raise Http404
        if user == request.user:
            raise PermissionDenied(OWN_TWO_FACTOR)
        back = reverse("admin:accounts_user_change", args=[user.pk])
        if request.method == "POST":
            self._turn_off_two_factor(request, user)
            return redirect(back)
        question = f"Turn off two-factor sign-in of {user}?"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": question,
            "question": question,
            "sentences": [
                "Their password alone signs them in then. Make sure that it is they who ask for it: by a telephone number that you knew before, not by a mail.",
                "They get a mail that says so, and it stands in the audit log of their companies.",
            ],
            "button": "Turn off",
            "leave": "Leave it on",
            "is_dangerous": True,
            "back": back,
        }
        return TemplateResponse(request, "craft/admin/confirm.html", context)

    def _turn_off_two_factor(self, request: HttpRequest, user: User) -> None:
        try:
            two_factor.reset_two_factor(user)
        except DomainError as error:
            self.message_user(request, error.message, messages.ERROR)
            return
        self.log_change(request, user, "Turned off two-factor sign-in")
        self.message_user(
            request, "Two-factor sign-in is off, and they are told.", messages.SUCCESS
        )

    @admin.display
    def standing(self, user: User) -> SafeString:
        """What an operator should notice; most people are neither."""
        marks = [
            (not user.is_active, as_badge("failed", "Inactive")),
            (user.is_staff, as_badge("pending", "Operator")),
            (user.is_verified, as_quiet("verified")),
        ]
        return joined([mark for is_so, mark in marks if is_so], " ")

    @admin.display(description="Signed in", ordering="last_login")
    def seen(self, user: User) -> SafeString:
        return as_moment(user.last_login)

    @admin.display(description="Since", ordering="created_at")
    def since(self, user: User) -> SafeString:
        return as_moment(user.created_at)


class KeyWriter(Writer):
    def delete(self, row: ApiKey) -> None:
        delete_api_key(row)


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin):
    """Keys are seen and ended here, never made: a secret is shown to its owner alone."""

    list_display = [
        "name",
        "shown",
        "standing",
        "of_company",
        "owner",
        "may",
        "expires",
        "used",
        "since",
    ]
    list_select_related = ["company", "membership__user"]
    list_filter = ["mode", ("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["name", "last_four", "company__name", "membership__user__email"]
    ordering = ["-id"]
    readonly_fields = [
        "name",
        "shown",
        "standing",
        "of_company",
        "owner",
        "may",
        "places",
        "expires",
        "old_secret",
        "used",
        "since",
    ]
    fields = readonly_fields
    empty_hint = "Keys are made by their owners: POST /v1/api-keys. The secret is shown to them, once."
    company_column = CompanyColumn("key_count", "Keys", lambda: count_of(ApiKey))
    writer = KeyWriter()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        rows: QuerySet[ApiKey] = super().get_queryset(request)
        return rows.select_related("company", "membership__user")

    @admin.display(description="Key")
    def shown(self, api_key: ApiKey) -> SafeString:
        return format_html("<code>{}…{}</code>", api_key.prefix, api_key.last_four)

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, api_key: ApiKey) -> SafeString:
        return as_row_link(api_key.company)

    @admin.display(ordering="membership__user__email")
    def owner(self, api_key: ApiKey) -> SafeString:
        return as_row_link(api_key.membership.user)

    @admin.display(description="Permissions")
    def may(self, api_key: ApiKey) -> str:
        return ", ".join(api_key.permissions)

    @admin.display(description="Mode", ordering="mode")
    def standing(self, api_key: ApiKey) -> SafeString:
        if api_key.is_expired:
            return as_badge("cancelled", "Expired")
        if api_key.mode == KeyMode.TEST:
            return as_badge("pending", "Test")
        return as_quiet("live")

    @admin.display(description="Expires", ordering="expires_at")
    def expires(self, api_key: ApiKey) -> str:
        return exactly(api_key.expires_at) if api_key.expires_at else "never"

    @admin.display(description="Allowed addresses")
    def places(self, api_key: ApiKey) -> str:
        return ", ".join(api_key.allowed_addresses) or "any"

    @admin.display(description="Old secret works until")
    def old_secret(self, api_key: ApiKey) -> str:
        until = api_key.previous_secret_expires_at
        return exactly(until) if until else "there is none"

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, api_key: ApiKey) -> SafeString | str:
        return as_moment(api_key.last_used_at) if api_key.last_used_at else "never"

    @admin.display(description="Made", ordering="id")
    def since(self, api_key: ApiKey) -> SafeString:
        return as_moment(api_key.created_at)


class InvitationWriter(Writer):
    def delete(self, row: Invitation) -> None:
        invitations.delete_invitation(row)


@admin.register(Invitation)
class InvitationAdmin(ConsoleAdmin):
    """Who was asked to join a company. An operator sees it and may end it; asking is the companies' own."""

    list_display = ["email", "of_company", "role", "state", "by", "sent", "until"]
    list_filter = ["role", ("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["email", "company__name"]
    ordering = ["-id"]
    readonly_fields = ["email", "of_company", "role", "state", "by", "sent", "until", "joined"]  # fmt: skip
    fields = readonly_fields
    empty_hint = "Admins of a company invite: POST /v1/companies/…/invitations, or under Settings, Members."
    writer = InvitationWriter()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invitation]:
        rows: QuerySet[Invitation] = super().get_queryset(request)
        return rows.select_related("company", "invited_by")

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, invitation: Invitation) -> SafeString:
        return as_row_link(invitation.company)

    @admin.display(description="Status")
    def state(self, invitation: Invitation) -> SafeString:
        tones = {"accepted": "completed", "expired": "cancelled"}
        status = invitation.status
        return as_badge(tones.get(status, status), status.capitalize())

    @admin.display(description="Invited by")
    def by(self, invitation: Invitation) -> SafeString:
        return as_row_link(invitation.invited_by)

    @admin.display(description="Sent", ordering="sent_at")
    def sent(self, invitation: Invitation) -> SafeString:
        return as_moment(invitation.sent_at)

    @admin.display(description="Good until", ordering="expires_at")
    def until(self, invitation: Invitation) -> SafeString:
        return as_moment(invitation.expires_at)

    @admin.display(description="Accepted", ordering="accepted_at")
    def joined(self, invitation: Invitation) -> SafeString:
        return as_moment(invitation.accepted_at)


@admin.register(Outlet)
class OutletAdmin(ReadOnlyAdmin):
    """The companies' shops and offices, which are theirs to change."""

    list_display = ["name", "of_company", "address", "phone", "time_zone", "since"]
    list_filter = [("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["name", "address", "company__name"]
    ordering = ["-id"]
    readonly_fields = ["name", "of_company", "address", "phone", "time_zone", "hours", "own", "since"]  # fmt: skip
    fields = readonly_fields
    empty_hint = "Companies make their outlets: POST /v1/companies/…/outlets."
    company_column = CompanyColumn("outlets", "Outlets", lambda: count_of(Outlet))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Outlet]:
        rows: QuerySet[Outlet] = super().get_queryset(request)
        return rows.select_related("company")

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, outlet: Outlet) -> SafeString:
        return as_row_link(outlet.company)

    @admin.display(description="Opening hours")
    def hours(self, outlet: Outlet) -> SafeString:
        return as_json(outlet.opening_hours)

    @admin.display(description="Variables")
    def own(self, outlet: Outlet) -> SafeString:
        return as_json(outlet.variables)

    @admin.display(description="Since", ordering="id")
    def since(self, outlet: Outlet) -> SafeString:
        return as_moment(outlet.created_at)


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
    """What was written to whom. Where mail only goes into files, this is where an operator finds its links; where it is sent, they are its reader's alone."""

    list_display = ["title", "to", "state", "made", "sent"]
    list_filter = ["status", "template"]
    search_fields = ["to"]
    ordering = ["-id"]
    readonly_fields = ["to", "title", "state", "made", "sent", "text", "last_error"]
    fields = readonly_fields
    empty_hint = "Mails that Craft writes are shown here, whether or not a mail server is set (EMAIL_URL)."

    @admin.display(description="About", ordering="template")
    def title(self, mail: Mail) -> str:
        return mail.template.replace("_", " ").capitalize()

    @admin.display(description="Status", ordering="status")
    def state(self, mail: Mail) -> SafeString:
        return as_badge(mail.status)

    @admin.display(description="Written", ordering="id")
    def made(self, mail: Mail) -> SafeString:
        return as_moment(mail.created_at)

    @admin.display(description="Sent", ordering="sent_at")
    def sent(self, mail: Mail) -> SafeString:
        return as_moment(mail.sent_at)

    @admin.display(description="Text")
    def text(self, mail: Mail) -> SafeString:
        text = str(render_mail(mail).body)
        if mail.token is not None and not settings.MAIL_IS_KEPT:
            text = text.replace(mail.token.text, "…")
        return format_html('<pre style="white-space:pre-wrap">{}</pre>', text)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """What changed in the companies, and who did it. Nobody edits it; its chain tells whether somebody did all the same."""

    list_display = ["moment", "type", "thing", "of_company", "who", "place"]
    list_filter = ["type", ("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["company"]
    search_fields = ["=resource_id", "=user_id", "=api_key_id", "=request_id"]
    is_found_by_id_only = True
    ordering = ["-id"]
    fields = [
        "moment",
        "type",
        "thing",
        "of_company",
        "who",
        "api_key_id",
        "ip",
        "agent",
        "request_id",
        "told",
        "changed",
        "place",
        "link",
    ]
    readonly_fields = fields
    actions_list = ["verify"]
    empty_hint = "Each change in a company leaves an entry here."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        rows: QuerySet[AuditEntry] = super().get_queryset(request)
        return rows.select_related("company").with_actor()  # type: ignore[attr-defined,no-any-return]  # of its own query set

    @unfold_action(description="Verify", url_path="verify", icon="verified_user")
    def verify(self, request: HttpRequest) -> HttpResponse:
        """Read the logs of all companies, a part at a press, and say whether they are as they were written."""
        try:
            since, checked = signing.loads(request.POST.get("place", ""), salt=PLACE)
        except signing.BadSignature:
            since, checked = (0, 0, ""), 0
        parts, then = verify_companies(since=tuple(since), at_most=READ_AT_ONCE)
        checked += sum(part.checked for part in parts)
        faults = [
            f"{Company.objects.get(pk=part.company_id)}: {fault}"
            for part in parts
            for fault in part.faults[:FAULTS_SHOWN]
        ]
        for fault in faults[:FAULTS_SHOWN]:
            messages.error(request, fault)
        if not faults and then:
            return self.go_on(
                request, signing.dumps((then, checked), salt=PLACE), checked
            )
        if not faults:
            messages.success(
                request,
                f"All {checked} entries are as they were written, and none is missing.",
            )
        return redirect(list_of(AuditEntry))

    def go_on(self, request: HttpRequest, place: str, checked: int) -> HttpResponse:
        context = {
            **admin.site.each_context(request),
            "title": "Verify",
            "question": "There is more to read",
            "sentences": [
                f"{checked} entries are as they were written.",
                "manage.py verify_audit_log reads all at once.",
            ],
            "hidden": [("place", place)],
            "button": "Go on",
            "back": list_of(AuditEntry),
            "leave": "Stop",
        }
        return render(request, "craft/admin/confirm.html", context)

    @admin.display(description="When", ordering="id")
    def moment(self, entry: AuditEntry) -> SafeString:
        return as_moment(entry.created_at)

    @admin.display(description="Resource")
    def thing(self, entry: AuditEntry) -> SafeString | str:
        return as_id(entry.resource_id) if entry.resource_id else ""

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, entry: AuditEntry) -> SafeString:
        return as_row_link(entry.company)

    @admin.display(description="By")
    def who(self, entry: Any) -> str:
        return str(entry.actor_email or entry.user_id or "Craft")

    @admin.display(description="Address")
    def ip(self, entry: AuditEntry) -> str:
        return entry.address

    @admin.display(description="User agent")
    def agent(self, entry: AuditEntry) -> str:
        return entry.user_agent

    @admin.display(description="Said of it")
    def told(self, entry: AuditEntry) -> SafeString:
        return as_json(entry.data)

    @admin.display(description="Before and after")
    def changed(self, entry: AuditEntry) -> SafeString:
        return as_json(entry.changes)

    @admin.display(description="Place", ordering="sequence")
    def place(self, entry: AuditEntry) -> SafeString | str:
        if entry.sequence is None:
            return as_quiet("not sealed yet")
        return str(entry.sequence)
