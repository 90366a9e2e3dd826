from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET

from accounts.pages.access import PageRequest, signed_in
from craft.pages import render_settings, settings_pages


@require_GET
@signed_in()
def first(request: PageRequest) -> HttpResponse:
    (_, pages), *_rest = settings_pages(request.levels)
    return redirect(pages[0].url_name)


@require_GET
@signed_in()
def profile(request: HttpRequest) -> HttpResponse:
    return render_settings(
        request,
        "accounts/settings/profile.html",
        "settings-profile",
        intro="Who you are here.",
    )
