"""What workflows ask of people, to be answered by a link in a mail or by who is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET

from accounts.models import Membership
from accounts.pages.access import PageRequest, open_to_all, signed_in
from craft.exceptions import DomainError, InvalidError
from craft.pages import render_settings
from craft.security import secret_in_address
from workflows.forms.approvals import AnswerForm
from workflows.models import Approval
from workflows.services import approvals

HERE = "approvals"
SHOWN = 100


@require_GET
@signed_in()
def all_open(request: PageRequest) -> HttpResponse:
    own = Approval.objects.for_company(request.membership.company)
    rows = own.select_related("execution__workflow").prefetch_related("decisions")
    waiting = [
        approval
        for approval in rows.open().order_by("-id")[:SHOWN]
        if not approvals.refusal(approval, request.membership)
        and request.user.pk not in {each.user_id for each in approval.decisions.all()}
    ]
    decided = rows.filter(decisions__user=request.user).order_by("-id")[:20]
    return render_settings(
        request,
        "workflows/approvals/list.html",
        HERE,
        intro="What workflows ask you to decide.",
        waiting=waiting,
        decided=decided,
    )


@signed_in()
def one(request: PageRequest, approval_id: str) -> HttpResponse:
    rows = Approval.objects.for_company(request.membership.company)
    approval: Approval = get_object_or_404(
        rows.select_related("execution__workflow", "company"), pk=approval_id
    )

    def answer(**given: Any) -> Approval:
        return approvals.decide(approval, member=request.membership, **given)

    return _answered(request, approval, request.membership, answer) or redirect(HERE)


@secret_in_address
@open_to_all
def by_link(request: HttpRequest) -> HttpResponse:
    token = request.POST.get("token") or request.GET.get("token", "")
    try:
        approval, member = approvals.approval_of_link(token)
    except DomainError as error:
        return _told(request, "This link is no good", error.message, status=400)

    def answer(**given: Any) -> Approval:
        return approvals.decide_by_link(token=token, **given)

    page = _answered(request, approval, member, answer, token=token)
    return page or _told(
        request, "Thank you", "Your answer is written down, and the workflow goes on."
    )


def _told(
    request: HttpRequest, heading: str, message: str, *, status: int = 200
) -> HttpResponse:
    context = {"heading": heading, "message": message}
    return render(request, "craft/error.html", context, status=status)


def _answered(
    request: HttpRequest,
    approval: Approval,
    member: Membership,
    answer: Callable[..., Approval],
    *,
    token: str = "",
) -> HttpResponse | None:
    """The page that asks; None once it is answered."""
    form = AnswerForm(request.POST or None, asked=approval.fields)
    if request.method == "POST" and form.is_valid():
        try:
            answer(
                approves=request.POST.get("decision") == "approve",
                comment=form.cleaned_data["comment"],
                data=form.data_given,
            )
        except DomainError as error:
            form.refuse(_by_form_field(error))
        else:
            messages.success(request, "Your answer is written down.")
            return None
    return render(
        request,
        "workflows/approvals/one.html",
        {
            "title": approval.title,
            "approval": approval,
            "decisions": approval.decisions.select_related("user"),
            "refusal": approvals.refusal(approval, member),
            "is_answered": approval.decisions.filter(user=member.user_id).exists(),
            "form": form,
            "token": token,
        },
        status=422 if form.is_bound else 200,
    )


def _by_form_field(error: DomainError) -> DomainError:
    """The service says `data.amount`, and the form `field_amount`."""
    if isinstance(error, InvalidError):
        error.details = {
            path.replace("data.", "field_", 1): text
            for path, text in error.details.items()
        }
    return error
