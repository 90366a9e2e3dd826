"""The way in and out: the start, the first operator, sign up, sign in, sign out."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from accounts.authentication import PAGE_SESSION
from accounts.forms.entry import (
    CodeForm,
    FirstOperatorForm,
    RecoveryForm,
    SignInForm,
    SignUpForm,
)
from accounts.pages.access import PageRequest, admit, begin_session, open_to_all
from accounts.services import operators, people, sessions
from accounts.services.sign_in import (
    check_password,
    enter,
    finish,
    go_half_way,
    who_is_half_way,
)
from accounts.services.two_factor import is_enabled
from craft import first_operator
from craft.security import secret_in_address


@require_GET
@open_to_all
def home(request: Any) -> HttpResponse:
    """Where somebody belongs: their start, the sign-in, or, on a new installation, the making of its operator."""
    if admit(request):
        return _start(request)
    if not first_operator.has_operator():
        return redirect("set-up")
    return redirect("sign-in")


def _start(request: PageRequest) -> HttpResponse:
    keys = "admin" in request.levels
    return render(
        request, "accounts/home.html", {"title": "Home", "may_make_keys": keys}
    )


@open_to_all
def sign_up(request: HttpRequest) -> HttpResponse:
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.submit(people.register):
        begin_session(request, form.outcome)
        return redirect("home")
    return render(
        request,
        "accounts/sign_up.html",
        {"title": "Create your account", "form": form},
        status=_status(form),
    )


@open_to_all
def sign_in(request: HttpRequest) -> HttpResponse:
    """The password. Where two-factor sign-in is on, the code has a page of its own."""
    form = SignInForm(request.POST or None)
    if request.method == "POST" and form.submit(check_password):
        membership = form.outcome
        if is_enabled(membership.user):
            go_half_way(request.session, membership.user)
            wanted = urlencode({"next": _wanted(request)})
            return redirect(f"{reverse('sign-in-code')}?{wanted}")
        begin_session(request, enter(membership))
        return redirect(_wanted(request))
    context = {"title": "Sign in", "form": form, "next": request.GET.get("next", "")}
    return render(request, "accounts/sign_in.html", context, status=_status(form))


@open_to_all
def give_code(request: HttpRequest) -> HttpResponse:
    """The code of whoever has shown the password in this browser, a while ago at most."""
    user = who_is_half_way(request.session)
    if user is None:
        messages.error(request, "That took too long. Sign in again.")
        return redirect_to_login(_wanted(request), "/login")
    is_recovery = "recovery" in request.GET
    form = (RecoveryForm if is_recovery else CodeForm)(request.POST or None)
    if request.method == "POST" and form.submit(finish, user):
        begin_session(request, form.outcome)
        return redirect(_wanted(request))
    context = {
        "title": "Use a recovery code" if is_recovery else "Enter your code",
        "form": form,
        "is_recovery": is_recovery,
        "email": user.email,
        "next": request.GET.get("next", ""),
    }
    return render(request, "accounts/give_code.html", context, status=_status(form))


def _wanted(request: HttpRequest) -> str:
    """The page that somebody came for, if it is one of ours."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else "/"


@require_POST
@open_to_all
def sign_out(request: HttpRequest) -> HttpResponse:
    sessions.end_page_session(request.session.get(PAGE_SESSION))
    logout(request)
    return redirect("sign-in")


@secret_in_address
@open_to_all
def set_up(request: HttpRequest) -> HttpResponse:
    if first_operator.has_operator():
        return redirect("home")
    form = FirstOperatorForm(
        request.POST or None, initial={"token": request.GET.get("token", "")}
    )
    if request.method == "POST" and form.submit(operators.create_first_operator):
        begin_session(request, form.outcome)
        return redirect("home")
    return render(
        request,
        "accounts/set_up.html",
        {"title": "Make the first operator", "form": form},
        status=_status(form),
    )


def _status(form: Any) -> int:
    return 422 if form.is_bound else 200
