"""Settings, signing in: password, address, the devices that are signed in, and leaving."""

from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST

from accounts.authentication import PAGE_SESSION
from accounts.forms.people import (
    EmailChangeForm,
    OwnPasswordForm,
    PasswordChangeForm,
)
from accounts.models import Session
from accounts.pages.access import PageRequest, signed_in
from accounts.services import people, sessions
from accounts.services.two_factor import state_of
from craft.pages import render_settings

SESSIONS, SIGN_IN = "settings-sessions", "settings-sign-in"
FEW_CODES = 3


@require_GET
@signed_in()
def credentials(request: PageRequest) -> HttpResponse:
    return render_settings(
        request,
        "accounts/settings/sign_in.html",
        SIGN_IN,
        intro="What you sign in with.",
        two_factor=state_of(request.user),
        few=FEW_CODES,
    )


@signed_in()
def change_password(request: PageRequest) -> HttpResponse:
    form = PasswordChangeForm(request.POST or None)
    if request.method == "POST" and form.submit(
        people.change_password,
        user=request.user,
        session_id=request.session.get(PAGE_SESSION),
    ):
        update_session_auth_hash(request, request.user)
        messages.success(
            request, "Your password is changed. All other devices are signed out."
        )
        return redirect(SIGN_IN)
    return render_settings(
        request,
        "accounts/settings/form.html",
        SIGN_IN,
        title="Change your password",
        intro="All other devices are signed out.",
        form=form,
        act="Change password",
        back=SIGN_IN,
    )


@signed_in()
def change_email(request: PageRequest) -> HttpResponse:
    form = EmailChangeForm(request.POST or None)
    if request.method == "POST" and form.submit(
        people.request_email_change, user=request.user
    ):
        address = form.cleaned_data["new_email"]
        messages.success(
            request,
            f"We sent a link to {address}. Nothing changes before you follow it.",
        )
        return redirect(SIGN_IN)
    return render_settings(
        request,
        "accounts/settings/form.html",
        SIGN_IN,
        title="Change your address",
        intro="A link goes to the new address, and a word to the old one.",
        form=form,
        act="Send the link",
        back=SIGN_IN,
    )


@require_POST
@signed_in()
def send_verification(request: PageRequest) -> HttpResponse:
    people.resend_verification(email=request.user.email)
    messages.success(request, f"We sent a link to {request.user.email}.")
    return redirect(SIGN_IN)


@signed_in()
def delete_account(request: PageRequest) -> HttpResponse:
    form = OwnPasswordForm(request.POST or None)
    if request.method == "POST" and form.submit(
        people.delete_account, user=request.user
    ):
        logout(request)
        messages.success(request, "Your account is deleted.")
        return redirect("sign-in")
    return render_settings(
        request,
        "accounts/settings/form.html",
        SIGN_IN,
        title="Delete your account",
        intro="Your keys and sessions go with it, and so do companies that are yours alone. This can’t be undone.",
        form=form,
        act="Delete my account",
        back=SIGN_IN,
    )


@require_GET
@signed_in()
def devices(request: PageRequest) -> HttpResponse:
    return render_settings(
        request,
        "accounts/settings/sessions.html",
        SESSIONS,
        intro="Where you are signed in: in browsers, and with programs that log in as you.",
        sessions=_own(request).order_by("-last_seen_at"),
        current=request.session.get(PAGE_SESSION),
    )


@require_POST
@signed_in()
def end_device(request: PageRequest, session_id: str) -> HttpResponse:
    sessions.end_session(get_object_or_404(_own(request), pk=session_id))
    messages.success(request, "Signed out there.")
    return redirect(SESSIONS)


@require_POST
@signed_in()
def end_others(request: PageRequest) -> HttpResponse:
    sessions.end_all_sessions(request.user, but=request.session.get(PAGE_SESSION))
    messages.success(request, "Signed out everywhere else.")
    return redirect(SESSIONS)


def _own(request: PageRequest) -> QuerySet[Session]:
    rows = Session.objects.live().filter(user=request.user)
    return rows.select_related("membership__company")
