from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from accounts.forms.people import ProfileForm
from accounts.pages.access import PageRequest, begin_session, signed_in
from accounts.serializers.fields import time_zones
from accounts.serializers.people import ProfileSerializer
from accounts.services import people
from craft.exceptions import NotFoundError
from craft.pages import render_settings, settings_pages

ABOUT = ("full_name", "phone", "time_zone")


@require_GET
@signed_in()
def first(request: PageRequest) -> HttpResponse:
    (_, pages), *_rest = settings_pages(request.levels)
    return redirect(pages[0].url_name)


@signed_in()
def profile(request: PageRequest) -> HttpResponse:
    user, company = request.user, request.membership.company
    form = ProfileForm(
        request.POST or None,
        initial={name: getattr(user, name) for name in ABOUT},
        time_zones=sorted(time_zones()),
    )

    def save(**values: Any) -> Any:
        return people.update_profile(user, company=company, **values["user"])

    if request.method == "POST" and form.submit(save, shape=ProfileSerializer):
        messages.success(request, "Saved.")
        return redirect("settings-profile")
    return render_settings(
        request,
        "accounts/settings/profile.html",
        "settings-profile",
        intro="Who you are here.",
        form=form,
        places=user.memberships.select_related("company"),
    )


@require_POST
@signed_in()
def switch_company(request: PageRequest, company_id: int) -> HttpResponse:
    try:
        session = people.switch_company(request.user, company_id)
    except NotFoundError as error:
        raise Http404 from error
    begin_session(request, session)
    return redirect("home")
