"""Settings, API keys: the secret is on the page that made it, and on no other."""

from functools import partial

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET

from accounts.forms.keys import KeyForm, NewKeyForm, RotationForm
from accounts.models import ApiKey, KeyMode
from accounts.pages.access import PageRequest, signed_in
from accounts.serializers.keys import ApiKeySerializer, RotationSerializer
from accounts.services import keys
from craft.pages import asked, render_settings

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
    wanted = request.GET.get("mode")
    form = NewKeyForm(
        request.POST or None,
        granted=request.levels,
        initial={"mode": wanted if wanted in KeyMode else KeyMode.LIVE},
    )
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
        "accounts/settings/form.html",
        HERE,
        title="New API key",
        form=form,
        act="Make key",
        back=HERE,
    )


@signed_in("admin")
def edit_api_key(request: PageRequest, key_id: str) -> HttpResponse:
    api_key = _key(request, key_id)
    form = KeyForm(request.POST or None, api_key=api_key, granted=request.levels)
    if request.method == "POST" and form.submit(
        keys.update_api_key,
        api_key,
        shape=ApiKeySerializer,
        by=keys.Grantor(request.levels),
    ):
        messages.success(request, f"“{form.outcome.name}” is saved. It holds at once.")
        return redirect(HERE)
    return render_settings(
        request,
        "accounts/settings/key.html",
        HERE,
        title=api_key.name,
        form=form,
        api_key=api_key,
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
    return asked(
        request,
        partial(keys.delete_api_key, api_key),
        done=f"“{api_key.name}” no longer works.",
        title=f"Revoke “{api_key.name}”?",
        because="Programs that use it are refused from now on. This can’t be undone.",
        act="Revoke key",
        back=HERE,
    )


def _key(request: PageRequest, key_id: str) -> ApiKey:
    rows = ApiKey.objects.for_company(request.membership.company)
    found: ApiKey = get_object_or_404(
        rows.select_related("membership__user"), pk=key_id
    )
    return found
