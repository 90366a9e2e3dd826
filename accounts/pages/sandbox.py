"""Settings, sandbox: whether the company has one, what it holds, and how to work in it."""

from functools import partial

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from accounts.models import ApiKey, KeyMode
from accounts.pages.access import PageRequest, signed_in
from accounts.services.sandbox import reset_sandbox, sandbox_of
from craft import copies
from craft.exceptions import DomainError
from craft.pages import asked, render_settings

HERE = "settings-sandbox"


@require_GET
@signed_in()
def state(request: PageRequest) -> HttpResponse:
    own = request.membership.company
    twin = own.filled_sandbox
    held = copies.count_rows(twin.pk) if twin else []
    test_keys = ApiKey.objects.for_company(own).filter(mode=KeyMode.TEST)
    return render_settings(
        request,
        "accounts/settings/sandbox.html",
        HERE,
        intro="A twin of your company, with copies of its records. Test keys work in it: try what you like.",
        twin=twin,
        held=[(count, kind._meta) for kind, count in held],
        test_keys=test_keys.count(),
        may_change="admin" in request.levels,
    )


@require_POST
@signed_in("admin")
def make(request: PageRequest) -> HttpResponse:
    try:
        sandbox_of(request.membership.company)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "Your sandbox is ready.")
    return redirect(HERE)


@signed_in("admin")
def reset(request: PageRequest) -> HttpResponse:
    return asked(
        request,
        partial(reset_sandbox, company=request.membership.company),
        done="The sandbox is filled anew.",
        title="Reset the sandbox?",
        because="What was made in it is gone, and it is filled anew with copies of your records. Test keys work on.",
        act="Reset sandbox",
        back=HERE,
    )
