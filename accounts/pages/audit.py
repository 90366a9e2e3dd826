from django.http import HttpResponse
from django.views.decorators.http import require_GET

from accounts.models import AuditEntry
from accounts.pages.access import PageRequest, signed_in
from craft.pages import render_settings

SHOWN = 50


@require_GET
@signed_in("admin")
def log(request: PageRequest) -> HttpResponse:
    """The newest first; `before` is the last line of the page before."""
    rows = AuditEntry.objects.for_company(request.membership.company)
    if before := request.GET.get("before"):
        rows = rows.filter(pk__lt=before)
    entries = list(rows.with_actor().order_by("-id")[: SHOWN + 1])
    return render_settings(
        request,
        "accounts/settings/audit.html",
        "settings-audit",
        intro="Every change in your company: who made it, when, and from where. Lines are chained, so that one that was touched is found.",
        entries=entries[:SHOWN],
        older=entries[SHOWN - 1].pk if len(entries) > SHOWN else "",
        is_first=not before,
    )
