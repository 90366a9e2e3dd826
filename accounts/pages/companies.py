"""Settings: the company, its people, its outlets."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET

from accounts.forms.companies import CompanyForm, OutletForm, RoleForm
from accounts.models import Invitation, Membership, Outlet
from accounts.pages.access import PageRequest, signed_in
from accounts.permissions import refusal
from accounts.serializers.companies import CompanySerializer, OutletSerializer
from accounts.serializers.fields import COUNTRIES, INDUSTRIES, time_zones
from accounts.services import companies, members
from craft.pages import asked, render_settings

COMPANY, MEMBERS, OUTLETS = "settings-company", "settings-members", "settings-outlets"
ABOUT = (
    "name",
    "industry",
    "website",
    "phone",
    "address",
    "country",
    "time_zone",
)
OF_OUTLET = ("name", "address", "phone", "time_zone", "variables")


# --- The company ---


@signed_in("admin")
def company(request: PageRequest) -> HttpResponse:
    own = request.membership.company
    form = CompanyForm(
        request.POST or None,
        initial={name: getattr(own, name) for name in ABOUT},
        industries=INDUSTRIES,
        countries=sorted(COUNTRIES),
        time_zones=sorted(time_zones()),
    )
    if request.method == "POST" and form.submit(
        companies.update_company, own, shape=CompanySerializer
    ):
        messages.success(request, "Saved.")
        return redirect(COMPANY)
    return render_settings(
        request,
        "accounts/settings/form.html",
        COMPANY,
        title="Company",
        intro="What people see of your company, and what its agents know of it.",
        form=form,
        act="Save",
    )


# --- Its people ---


@require_GET
@signed_in("admin")
def people(request: PageRequest) -> HttpResponse:
    rows = request.membership.company.memberships.select_related("user")
    return render_settings(
        request,
        "accounts/settings/members.html",
        MEMBERS,
        intro="Who works in this company, and what they may do.",
        members=rows.order_by("-is_owner", "user__full_name", "pk"),
        invitations=Invitation.objects.for_company(request.membership.company)
        .filter(accepted_at=None)
        .select_related("invited_by")
        .order_by("-id"),
    )


@signed_in("admin")
def person(request: PageRequest, user_id: str) -> HttpResponse:
    member = _member(request, user_id)
    form = RoleForm(request.POST or None, initial={"role": member.role})
    if request.method == "POST" and form.submit(members.change_role, member):
        name = member.user.get_full_name()
        role = form.outcome.get_role_display().lower()
        messages.success(request, f"{name} is {role} now.")
        return redirect(MEMBERS)
    return render_settings(
        request,
        "accounts/settings/member.html",
        MEMBERS,
        title=member.user.get_full_name(),
        intro=member.user.email,
        member=member,
        form=form,
    )


@signed_in("admin")
def remove_person(request: PageRequest, user_id: str) -> HttpResponse:
    member = _member(request, user_id)
    name = member.user.get_full_name()
    return asked(
        request,
        lambda: members.remove_member(member),
        done=f"{name} is no longer a member.",
        title=f"Remove {name}?",
        because="Their keys and sessions for this company end at once. What they made stays.",
        act="Remove",
        back=MEMBERS,
    )


@signed_in("owner")
def hand_over(request: PageRequest, user_id: str) -> HttpResponse:
    member = _member(request, user_id)
    name = member.user.get_full_name()
    return asked(
        request,
        lambda: members.transfer_ownership(owner=request.membership, to=member),
        done=f"{name} owns the company now.",
        title=f"Hand {request.membership.company} over to {name}?",
        because="They become its owner, and only they can hand it back. You stay an admin.",
        act="Hand over",
        back=MEMBERS,
    )


def _member(request: PageRequest, user_id: str) -> Membership:
    rows = request.membership.company.memberships.select_related("user", "company")
    return get_object_or_404(rows, user_id=user_id)


# --- Its outlets ---


@require_GET
@signed_in()
def outlets(request: PageRequest) -> HttpResponse:
    rows = Outlet.objects.for_company(request.membership.company).order_by("name", "pk")
    return render_settings(
        request,
        "accounts/settings/outlets.html",
        OUTLETS,
        intro="Your branches: shops, offices. An agent can be asked on behalf of one.",
        outlets=rows,
        may_change="write" in request.levels,
    )


@signed_in("write")
def new_outlet(request: PageRequest) -> HttpResponse:
    own = request.membership.company
    form = OutletForm(
        request.POST or None,
        initial={"time_zone": own.time_zone},
        time_zones=sorted(time_zones()),
    )
    return _outlet_form(
        request, form, companies.create_outlet, title="New outlet", company=own
    )


@signed_in()
def outlet(request: PageRequest, outlet_id: str) -> HttpResponse:
    """A form for who may change it, a page to read for who may not."""
    found = _outlet(request, outlet_id)
    if "write" not in request.levels:
        if request.method == "POST":
            raise PermissionDenied(refusal("write", "session"))
        return render_settings(
            request,
            "accounts/settings/outlet_facts.html",
            OUTLETS,
            title=found.name,
            outlet=found,
        )
    initial = {name: getattr(found, name) for name in OF_OUTLET}
    form = OutletForm(
        request.POST or None,
        initial=initial,
        time_zones=sorted(time_zones()),
        opening_hours=found.opening_hours,
    )
    return _outlet_form(request, form, companies.update_outlet, found, title=found.name)


def _outlet_form(
    request: PageRequest,
    form: OutletForm,
    service: Any,
    *on: Outlet,
    title: str,
    **known: Any,
) -> HttpResponse:
    if request.method == "POST" and form.submit(
        service, *on, shape=OutletSerializer, **known
    ):
        messages.success(request, f"{form.outcome.name} is saved.")
        return redirect(OUTLETS)
    return render_settings(
        request,
        "accounts/settings/outlet.html",
        OUTLETS,
        title=title,
        form=form,
        outlet=on[0] if on else None,
    )


@signed_in("write")
def delete_outlet(request: PageRequest, outlet_id: str) -> HttpResponse:
    found = _outlet(request, outlet_id)
    return asked(
        request,
        lambda: companies.delete_outlet(found),
        done=f"{found.name} is deleted.",
        title=f"Delete {found.name}?",
        because="What was done on its behalf stays.",
        act="Delete outlet",
        back=OUTLETS,
    )


def _outlet(request: PageRequest, outlet_id: str) -> Outlet:
    rows = Outlet.objects.for_company(request.membership.company)
    found: Outlet = get_object_or_404(rows, pk=outlet_id)
    return found
