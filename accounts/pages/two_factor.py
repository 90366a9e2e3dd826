"""Settings, signing in: a code beside the password. The secret is on the page that sets it up, recovery codes on the page that made them, and on no other."""

import segno
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_POST

from accounts.forms.entry import CodeForm
from accounts.forms.people import OwnPasswordForm, PasswordAndCodeForm
from accounts.pages.access import PageRequest, signed_in
from accounts.services import two_factor
from accounts.services.two_factor import SetUp
from craft.pages import render_settings

HERE = "settings-sign-in"


@signed_in()
def begin(request: PageRequest) -> HttpResponse:
    if two_factor.is_enabled(request.user):
        return redirect(HERE)
    form = OwnPasswordForm(request.POST or None)
    if request.method == "POST" and form.submit(
        two_factor.begin_two_factor, user=request.user
    ):
        return _set_up(request, form.outcome, CodeForm())
    return render_settings(
        request,
        "accounts/settings/form.html",
        HERE,
        title="Turn on two-factor sign-in",
        intro="You need an authenticator app on your phone: Google Authenticator, Aegis, 1Password or any other. Your password first.",
        form=form,
        act="Continue",
        back=HERE,
    )


@require_POST
@signed_in()
def confirm(request: PageRequest) -> HttpResponse:
    form = CodeForm(request.POST)
    if form.submit(two_factor.confirm_two_factor, user=request.user):
        return _show_codes(request, form.outcome, title="Two-factor sign-in is on")
    pending = two_factor.pending_set_up(request.user)
    if pending is None:
        messages.error(request, "That took too long. Begin again.")
        return redirect("settings-two-factor")
    return _set_up(request, pending, form)


def _set_up(request: PageRequest, begun: SetUp, form: CodeForm) -> HttpResponse:
    groups = [begun.secret[at : at + 4] for at in range(0, len(begun.secret), 4)]
    return render_settings(
        request,
        "accounts/settings/two_factor.html",
        HERE,
        title="Turn on two-factor sign-in",
        qr=_qr(begun.otpauth_uri),
        secret=" ".join(groups),
        otpauth_uri=begun.otpauth_uri,
        form=form,
    )


def _qr(text: str) -> SafeString:
    """Dark on light whatever the page's colours are, for that is what telephones read."""
    code = segno.make(text, error="m", micro=False)
    drawn = code.svg_inline(border=4, svgclass="qr", lineclass=None, omitsize=True)
    return mark_safe(drawn)  # noqa: S308  # made here, of modules and numbers


@signed_in()
def disable(request: PageRequest) -> HttpResponse:
    form = PasswordAndCodeForm(request.POST or None)
    if request.method == "POST" and form.submit(
        two_factor.disable_two_factor, user=request.user
    ):
        messages.success(request, "Two-factor sign-in is off.")
        return redirect(HERE)
    return render_settings(
        request,
        "accounts/settings/form.html",
        HERE,
        title="Turn off two-factor sign-in",
        intro="Your password alone signs you in then. Your recovery codes go with it.",
        form=form,
        act="Turn off",
        back=HERE,
    )


@signed_in()
def renew_recovery_codes(request: PageRequest) -> HttpResponse:
    form = PasswordAndCodeForm(request.POST or None)
    if request.method == "POST" and form.submit(
        two_factor.renew_recovery_codes, user=request.user
    ):
        return _show_codes(request, form.outcome, title="Your new recovery codes")
    return render_settings(
        request,
        "accounts/settings/form.html",
        HERE,
        title="New recovery codes",
        intro="Those that you have are good for nothing from then on.",
        form=form,
        act="Make new codes",
        back=HERE,
    )


def _show_codes(request: PageRequest, codes: list[str], *, title: str) -> HttpResponse:
    head = f"Recovery codes of {request.user.email} at {settings.PUBLIC_URL}. Each is good once."
    return render_settings(
        request,
        "accounts/settings/recovery_codes.html",
        HERE,
        title=title,
        codes=codes,
        as_file="\n".join([head, "", *codes, ""]),
    )
