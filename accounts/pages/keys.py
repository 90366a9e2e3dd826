"""Settings, API keys: the secret is on the page that made it, and on no other."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.forms.keys import NewKeyForm, RotationForm
from accounts.models import ApiKey
from accounts.pages.access import PageRequest, signed_in
from accounts.serializers.keys import ApiKeySerializer, RotationSerializer
from accounts.services import keys
from craft.pages import render_settings

HERE = "settings-keys"


@require_GET
@signed_in("admin")
def api_keys(request: PageRequest) -> HttpResponse:
    rows = ApiKey.objects.for_company(request.membership.company)
    rows = rows.select_related("membership__user").order_by("-id")
    return render_settings(
        request,
        "accounts/settings/keys.html",
        HERE,
        intro="For programs that call the API. A key acts for the person who made it, and never does more than it was given.",
        api_keys=rows,
    )


@signed_in("admin")
def new_api_key(request: PageRequest) -> HttpResponse:
    form = NewKeyForm(request.POST or None, granted=request.levels)
    if request.method == "POST" and form.submit(
        keys.create_api_key,
        membership=request.membership,
        shape=ApiKeySerializer,
        by=keys.Grantor(request.levels),
        look="cv",
    ):
        return render_settings(
            request, "accounts/settings/key_made.html", HERE, new=form.outcome
        )
    return render_settings(
        request,
        "accounts/settings/key_new.html",
        HERE,
        title="New API key",
        form=form,
    )


@signed_in("admin")
def rotate_api_key(request: PageRequest, key_id: str) -> HttpResponse:
    api_key = _key(request, key_id)
    form = RotationForm(request.POST or None)
    if request.method == "POST" and form.submit(
        keys.rotate_api_key,
        api_key,
        shape=RotationSerializer,
        by=keys.Grantor(request.levels),
    ):
        return render_settings(
            request, "accounts/settings/key_made.html", HERE, new=form.outcome
        )
    return render_settings(
        request,
        "accounts/settings/form.html",
        HERE,
        title=f"A new secret for “{api_key.name}”",
        intro="The key stays what it is; only its secret changes.",
        form=form,
        act="Make a new secret",
        back=HERE,
    )


@signed_in("admin")
def delete_api_key(request: PageRequest, key_id: str) -> HttpResponse:
    api_key = _key(request, key_id)
    if request.method == "POST":
        keys.delete_api_key(api_key)
        messages.success(request, f"“{api_key.name}” no longer works.")
        return redirect(HERE)
    context = {
        "title": f"Delete “{api_key.name}”?",
        "because": "Programs that use it are refused from now on. This can’t be undone.",
        "act": "Delete key",
        "back": reverse(HERE),
    }
    return render(request, "craft/confirm.html", context)


def _key(request: PageRequest, key_id: str) -> ApiKey:
    rows = ApiKey.objects.for_company(request.membership.company)
    found: ApiKey = get_object_or_404(rows.select_related("membership"), pk=key_id)
    return found
