"""Settings, audit log: to read, to narrow, to take along, and to hold against its own chain."""

from typing import Any

from django.core import signing
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from accounts.filters import AuditFilter
from accounts.forms.audit import AuditFilterForm
from accounts.models import AuditEntry
from accounts.pages.access import PageRequest, signed_in
from accounts.serializers.audit import as_file
from accounts.services import audit
from craft.pages import render_settings

HERE = "settings-audit"
SHOWN = 50
FAULTS_SHOWN = 20
KINDS = {"csv": "CSV", "jsonl": "JSON lines"}
PLACE = "accounts.pages.audit"


@require_GET
@signed_in("admin")
def log(request: PageRequest) -> HttpResponse:
    """The newest first; `before` is the last line of the page before."""
    form = _filters(request)
    rows = _rows(request, form)
    before = request.GET.get("before", "").replace("\0", "")
    if before:
        rows = rows.filter(pk__lt=before)
    entries = list(rows.order_by("-id")[: SHOWN + 1])
    for entry in entries:
        entry.key_name = form.keys.get(entry.api_key_id, "a key")
    return render_settings(
        request,
        "accounts/settings/audit.html",
        HERE,
        intro="Every change in your company: who made it, when, and from where.",
        form=form,
        entries=entries[:SHOWN],
        older=entries[SHOWN - 1].pk if len(entries) > SHOWN else "",
        is_first=not before,
        query=urlencode(form.given),
        kinds=KINDS.items(),
    )


@require_GET
@signed_in("admin")
def export(request: PageRequest) -> HttpResponseBase:
    form = _filters(request)
    if not form.is_valid():
        return redirect(f"/settings/audit-log?{urlencode(form.given)}")
    kind = request.GET.get("format", "csv")
    if kind not in KINDS:
        raise Http404
    return as_file(_rows(request, form), kind)


@require_POST
@signed_in("admin")
def verify(request: PageRequest) -> HttpResponse:
    """A part of the company's log at a time, so that a long one keeps nobody waiting; the page asks for the next by itself."""
    company = request.membership.company
    after, before = _place(request)
    part = audit.verify_part(company, after=after, at_most=audit.PART)
    checked = before + part.checked
    return render_settings(
        request,
        "accounts/settings/audit_verified.html",
        HERE,
        title="Is the log as it was written?",
        part=part,
        checked=checked,
        faults=part.faults[:FAULTS_SHOWN],
        place=signing.dumps([company.pk, *part.place, checked], salt=PLACE),
    )


def _place(request: PageRequest) -> tuple[tuple[int, str], int]:
    """Where the last part ended, and how much was read until there. A place that is not ours, or of another company, is the beginning."""
    try:
        company_id, sequence, link, checked = signing.loads(
            request.POST.get("place", ""), salt=PLACE
        )
    except signing.BadSignature:
        return (0, ""), 0
    is_own = company_id == request.membership.company_id
    return ((sequence, link), checked) if is_own else ((0, ""), 0)


def _filters(request: PageRequest) -> AuditFilterForm:
    return AuditFilterForm(request.GET, company=request.membership.company)


def _rows(request: PageRequest, form: AuditFilterForm) -> Any:
    rows = AuditEntry.objects.for_company(request.membership.company).with_actor()
    return AuditFilter(form.query, queryset=rows).qs if form.is_valid() else rows.none()
