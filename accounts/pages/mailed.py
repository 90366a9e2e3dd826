"""Where the links in mails lead. Opening one changes nothing, for programs that read mail open links too; the button does."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.forms.people import AddressForm, NewPasswordForm, TokenForm
from accounts.pages.access import open_to_all
from accounts.services import people
from craft.security import secret_in_address


@open_to_all
def forgot_password(request: HttpRequest) -> HttpResponse:
    """Says the same whether or not anybody has this address."""
    form = AddressForm(request.POST or None)
    is_sent = request.method == "POST" and form.submit(people.request_password_reset)
    return render(
        request,
        "accounts/forgot_password.html",
        {"title": "Forgot your password?", "form": form, "is_sent": is_sent},
    )


@secret_in_address
@open_to_all
def reset_password(request: HttpRequest) -> HttpResponse:
    return _with_token(
        request,
        NewPasswordForm,
        people.reset_password,
        done="Your password is changed. Sign in with it.",
        title="Choose a new password",
        lead="You are signed out wherever you were signed in.",
        act="Change password",
        then="sign-in",
        again="forgot-password",
    )


@secret_in_address
@open_to_all
def verify_email(request: HttpRequest) -> HttpResponse:
    return _with_token(
        request,
        TokenForm,
        people.verify_email,
        done="Your address is verified.",
        title="Verify your address",
        lead="One press, and we know that this mailbox is yours.",
        act="Verify",
        then="home",
        again="settings-sign-in",
    )


@secret_in_address
@open_to_all
def change_email(request: HttpRequest) -> HttpResponse:
    return _with_token(
        request,
        TokenForm,
        people.change_email,
        done="You sign in with your new address from now on.",
        title="Change your address",
        lead="From then on you sign in with the address that this mail came to.",
        act="Change address",
        then="home",
        again="settings-email",
    )


def _with_token(
    request: HttpRequest,
    kind: type[TokenForm],
    service: Callable[..., Any],
    *,
    done: str,
    then: str,
    **shown: str,
) -> HttpResponse:
    """`again` is where somebody asks for another link."""
    form = kind(request.POST or None, initial={"token": request.GET.get("token", "")})
    if request.method == "POST" and form.submit(service):
        messages.success(request, done)
        return redirect(then)
    context = shown | {"form": form}
    return render(request, "accounts/mailed.html", context)
