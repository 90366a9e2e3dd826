"""Inviting somebody to the company, and accepting it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.forms.people import InvitationForm, KnownForm, NewcomerForm, TokenForm
from accounts.models import Invitation, User
from accounts.pages.access import (
    PageRequest,
    begin_session,
    open_to_all,
    signed_in,
)
from accounts.services import invitations
from craft.exceptions import DomainError
from craft.pages import render_settings
from craft.security import secret_in_address

HERE = "settings-members"


@signed_in("admin")
def invite(request: PageRequest) -> HttpResponse:
    form = InvitationForm(request.POST or None)
    if request.method == "POST" and form.submit(
        invitations.invite, company=request.membership.company, user=request.user
    ):
        messages.success(request, f"{form.outcome.email} is invited.")
        return redirect(HERE)
    return render_settings(
        request,
        "accounts/settings/form.html",
        HERE,
        title="Invite somebody",
        intro="They get a mail with a link, which is good once.",
        form=form,
        act="Send invitation",
        back=HERE,
    )


@require_POST
@signed_in("admin")
def send_again(request: PageRequest, invitation_id: str) -> HttpResponse:
    invitation = _invitation(request, invitation_id)
    try:
        invitations.resend_invitation(invitation)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"Sent to {invitation.email} again.")
    return redirect(HERE)


@require_POST
@signed_in("admin")
def take_back(request: PageRequest, invitation_id: str) -> HttpResponse:
    invitation = _invitation(request, invitation_id)
    invitations.delete_invitation(invitation)
    messages.success(request, f"The invitation of {invitation.email} is taken back.")
    return redirect(HERE)


def _invitation(request: PageRequest, invitation_id: str) -> Invitation:
    rows = Invitation.objects.for_company(request.membership.company)
    found: Invitation = get_object_or_404(
        rows.filter(accepted_at=None), pk=invitation_id
    )
    return found


@secret_in_address
@open_to_all
def accept(request: HttpRequest) -> HttpResponse:
    token = request.POST.get("token") or request.GET.get("token", "")
    try:
        invitation = invitations.find_invitation(token)
    except DomainError as error:
        context = {"heading": "This link is no good", "message": error.message}
        return render(request, "craft/error.html", context, status=400)
    form, user = _form_for(request, invitation, token)
    if request.method == "POST" and form.submit(
        invitations.accept_invitation, signed_in=user
    ):
        return _welcome(request, form.outcome)
    return render(
        request,
        "accounts/invitation.html",
        {
            "title": f"Join {invitation.company}",
            "form": form,
            "invitation": invitation,
            "is_new": isinstance(form, NewcomerForm),
        },
        status=422 if form.is_bound else 200,
    )


def _form_for(
    request: HttpRequest, invitation: Invitation, token: str
) -> tuple[TokenForm, User | None]:
    """Who is signed in only says yes, who has an account shows it, and who is new makes one."""
    user = User.objects.filter(email=invitation.email).first()
    kind: type[TokenForm] = NewcomerForm
    if user is not None:
        kind = TokenForm if request.user == user else KnownForm
    form = kind(request.POST or None, initial={"token": token})
    return form, user if kind is TokenForm else None


def _welcome(request: HttpRequest, joined: invitations.Joined) -> HttpResponse:
    messages.success(request, f"You are a member of {joined.membership.company} now.")
    if joined.session is None:
        return redirect("sign-in")
    begin_session(request, joined.session)
    return redirect("home")
