"""Executions: what ran, how far it got and why it failed; cancelled and run again through the same services as the API's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Cast, Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from craft.admin import CompanyColumn, ReadOnlyAdmin, as_operator
from craft.admin.shown import (
    as_badge,
    as_duration,
    as_failure,
    as_id,
    as_link,
    as_moment,
    as_row_link,
    list_of,
    page_of,
)
from craft.exceptions import DomainError
from craft.fields import lowest_id
from craft.leases import Status
from workflows.admin.drawing import draw
from workflows.engine import payloads
from workflows.models import Execution, Step, Workflow
from workflows.nodes import NODES
from workflows.services import executions, reruns

MOST_AT_ONCE = 200
MOST_STEPS = 300
LEAST_BAR = 0.6
STARTED_BY = {
    "api": "A call to the API",
    "cron": "Its schedule",
    "schedule": "Its schedule",
    "manual": "By hand",
    "webhook": "A webhook",
    "rerun": "Run again",
    "batch": "A batch",
    "subworkflow": "Another workflow",
    "fork": "Forked",
    "node": "One node, by itself",
}


class StartedFilter(admin.SimpleListFilter):
    """By the ids, which begin with the time: the primary key's index answers."""

    title = "time"
    parameter_name = "started"
    spans = {
        "hour": ("In the last hour", timedelta(hours=1)),
        "day": ("In the last 24 hours", timedelta(days=1)),
        "week": ("In the last 7 days", timedelta(days=7)),
        "month": ("In the last 30 days", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, title) for value, (title, _) in self.spans.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        if self.value() not in self.spans:
            return None
        _, span = self.spans[str(self.value())]
        return queryset.filter(pk__gte=lowest_id("exec", timezone.now() - span))


def begun_by_company() -> Coalesce:
    """From the count that each workflow keeps: an execution is never counted by reading it."""
    own = Workflow.unscoped.filter(company=OuterRef("pk")).order_by().values("company")
    begun = Cast(
        Sum("usage_count"), BigIntegerField()
    )  # PostgreSQL adds up to decimals
    return Coalesce(Subquery(own.values(number=begun)), 0)


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
    list_display = [
        "run",
        "state",
        "of_workflow",
        "of_company",
        "started",
        "took",
        "failure",
    ]
    list_filter = ["status", StartedFilter, ("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["id__endswith", "workflow__name", "company__name"]
    is_found_by_id_only = True
    ordering = ["-id"]
    fields: list[str] = []
    actions = ["cancel_selected", "rerun_selected"]
    change_form_template = "workflows/admin/execution.html"
    empty_hint = "An execution is one run of a workflow: POST /v1/workflows/{id}/execute starts one, and so do triggers and schedules."
    company_column = CompanyColumn("begun_count", "Executions", begun_by_company)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Execution]:
        rows: QuerySet[Execution] = super().get_queryset(request)
        return rows.select_related("workflow", "company")

    # --- The list ---

    @admin.display(description="Execution", ordering="id")
    def run(self, execution: Execution) -> SafeString:
        return as_id(execution.pk)

    @admin.display(description="Status", ordering="status")
    def state(self, execution: Execution) -> SafeString:
        return as_badge(execution.status)

    @admin.display(description="Workflow")
    def of_workflow(self, execution: Execution) -> SafeString:
        return as_row_link(execution.workflow)

    @admin.display(description="Company")
    def of_company(self, execution: Execution) -> SafeString:
        return as_row_link(execution.company)

    @admin.display(description="Created", ordering="id")
    def started(self, execution: Execution) -> SafeString:
        return as_moment(execution.created_at)

    @admin.display
    def took(self, execution: Execution) -> str:
        return as_duration(execution.duration_ms)

    @admin.display(description="Error")
    def failure(self, execution: Execution) -> SafeString | str:
        return as_failure(execution.error) if execution.error else ""

    # --- One execution ---

    def get_urls(self) -> list[URLPattern]:
        def at(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            guarded = as_operator(self.admin_site.admin_view(view))
            return path(
                f"<path:object_id>/{route}", guarded, name=f"workflows_execution_{name}"
            )

        return [
            at("cancel/", self.cancel_view, "cancel"),
            at("rerun/", self.rerun_view, "rerun"),
            at("resume/", self.resume_view, "resume"),
            at("steps/<int:step_id>/", self.step_view, "step"),
            *super().get_urls(),
        ]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Execution | None:
        rows = self.get_queryset(request).select_related(
            "workflow__version",
            "workflow__published_version",
            "company",
            "version",
            "created_by",
        )
        return rows.filter(pk=object_id).first()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= page_of_execution(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def step_view(
        self, request: HttpRequest, object_id: str, step_id: int
    ) -> HttpResponse:
        """What went in and came out: fetched when a step is unfolded, since it may be large."""
        if not self.has_view_permission(request):
            raise Http404
        step = get_object_or_404(Step, execution=object_id, pk=step_id)
        payloads.load([step])
        context = {"step": step, "usage": as_usage(step.usage)}
        return TemplateResponse(request, "workflows/admin/step.html", context)

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        execution = self._execution(request, object_id)
        if request.method == "POST":
            self._cancel(request, [execution])
            return HttpResponseRedirect(page_of(execution))
        is_held = execution.status == Status.RUNNING
        sentences = [
            "Steps that are done stay done; nothing is undone.",
            "The step under way is told to stop, and the execution ends within a second or two."
            if is_held
            else "No process has it at the moment, so it ends at once.",
        ]
        return self._confirm(
            request,
            question=f"Cancel this execution of {execution.workflow}?",
            sentences=sentences,
            button="Cancel the execution",
            leave="Leave it running" if is_held else "Leave it",
            is_dangerous=True,
            back=page_of(execution),
        )

    def rerun_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        execution = self._execution(request, object_id)
        if request.method == "POST":
            new = self._rerun(request, [execution])
            return HttpResponseRedirect(page_of(new[0] if new else execution))
        return self._confirm(
            request,
            question=f"Run {execution.workflow} again?",
            sentences=list(what_a_rerun_does(execution)),
            button="Run again",
            leave="Not now",
            back=page_of(execution),
        )

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        execution = self._execution(request, object_id)
        if request.method == "POST":
            new = self._rerun(request, [execution], start="failed", version="same")
            return HttpResponseRedirect(page_of(new[0] if new else execution))
        return self._confirm(
            request,
            question=f"Go on with {execution.workflow} from where it failed?",
            sentences=[
                "A new execution takes over what is done, so that no effect of it is repeated, and goes on from what failed. This one stays as it is.",
                f"It runs version {execution.version.number}, as this one did.",
            ],
            button="Go on from the failure",
            leave="Not now",
            back=page_of(execution),
        )

    # --- Several executions ---

    @admin.action(description="Cancel")
    def cancel_selected(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> HttpResponse | None:
        chosen = self._chosen(request, queryset)
        if not chosen or "confirmed" in request.POST:
            self._cancel(request, chosen)
            return None
        return self._confirm_selected(
            request,
            chosen,
            "cancel_selected",
            question=f"Cancel {counted(chosen)}?",
            sentences=["Steps that are done stay done; nothing is undone."],
            button=f"Cancel {counted(chosen)}",
            leave="Leave them running",
            is_dangerous=True,
        )

    @admin.action(description="Run again")
    def rerun_selected(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> HttpResponse | None:
        chosen = self._chosen(request, queryset)
        if not chosen or "confirmed" in request.POST:
            self._rerun(request, chosen)
            return None
        return self._confirm_selected(
            request,
            chosen,
            "rerun_selected",
            question=f"Run {counted(chosen)} again?",
            sentences=[
                "Each starts anew with the same input, on the version that its workflow has now. What reaches outside does so again."
            ],
            button=f"Run {counted(chosen)} again",
            leave="Not now",
        )

    def _chosen(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> list[Execution]:
        chosen = list(
            queryset.select_related("workflow__version", "workflow__published_version")[
                : MOST_AT_ONCE + 1
            ]
        )
        if len(chosen) <= MOST_AT_ONCE:
            return chosen
        self.message_user(
            request,
            f"Choose at most {MOST_AT_ONCE} executions at a time: nothing was done.",
            messages.ERROR,
        )
        return []

    def _confirm_selected(
        self,
        request: HttpRequest,
        chosen: list[Execution],
        action: str,
        **context: Any,
    ) -> HttpResponse:
        hidden = [("action", action), ("confirmed", "yes")]
        hidden += [(ACTION_CHECKBOX_NAME, execution.pk) for execution in chosen]
        rows = [
            format_html(
                "{} {} {}",
                as_badge(execution.status),
                as_link(page_of(execution), execution.workflow),
                as_id(execution.pk),
            )
            for execution in chosen
        ]
        back = request.get_full_path()
        return self._confirm(request, hidden=hidden, rows=rows, back=back, **context)

    # --- Doing it ---

    def _execution(self, request: HttpRequest, object_id: str) -> Execution:
        execution = self.get_object(request, object_id)
        if execution is None or not self.has_view_permission(request):
            raise Http404
        return execution

    def _confirm(self, request: HttpRequest, **context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        context = {**shared, "title": context["question"], **context}
        return TemplateResponse(request, "craft/admin/confirm.html", context)

    def _cancel(self, request: HttpRequest, chosen: list[Execution]) -> None:
        done = []
        for execution in chosen:
            workflow = execution.workflow
            try:
                executions.request_cancel(execution)
            except DomainError as error:
                self._refused(request, execution, error)
                continue
            self.log_change(request, execution, f"Cancelled a run of {workflow}")
            done.append(execution)
        executions.wait_for_ends(done)
        stopping = sum(not execution.is_over for execution in done)
        if ended := len(done) - stopping:
            text = f"Cancelled {ended}." if ended > 1 else "Cancelled."
            self.message_user(request, text, messages.SUCCESS)
        if stopping:
            text = "The process that runs it has been told to stop, and will within seconds."
            self.message_user(request, text, messages.INFO)

    def _rerun(
        self, request: HttpRequest, chosen: list[Execution], **how: Any
    ) -> list[Execution]:
        started = []
        for execution in chosen:
            try:
                new = reruns.rerun_execution(execution, user=request.user, **how)  # type: ignore[arg-type]  # nobody else gets here
            except DomainError as error:
                self._refused(request, execution, error)
                continue
            self.log_addition(request, new, f"Ran {new.workflow} again")
            started.append(new)
        if len(started) == 1:
            text = format_html(
                "Started again as {}.", as_link(page_of(started[0]), started[0].pk)
            )
            self.message_user(request, text, messages.SUCCESS)
        elif started:
            self.message_user(
                request, f"Started {len(started)} again.", messages.SUCCESS
            )
        return started

    def _refused(
        self, request: HttpRequest, execution: Execution, error: DomainError
    ) -> None:
        text = format_html("{}: {}", as_row_link(execution), error.message)
        self.message_user(request, text, messages.WARNING)


def counted(chosen: list[Execution]) -> str:
    return "1 execution" if len(chosen) == 1 else f"{len(chosen)} executions"


def what_a_rerun_does(execution: Execution) -> Iterator[str]:
    workflow = execution.workflow
    yield "A new execution starts with the same input; this one stays as it is."
    now = workflow.live_version
    if now is not None and now.pk != execution.version_id:
        yield f"It ran version {execution.version.number}; version {now.number} is what runs now."
    outside = [
        str(node.get("name") or node["id"])
        for node in (now.nodes if now else [])
        if node["type"] in NODES and NODES[node["type"]].effect != "pure"
    ]
    if outside:
        yield f"These nodes reach outside, and will again: {', '.join(outside)}."


# --- The page of one execution ---


def page_of_execution(execution: Execution) -> dict[str, Any]:
    found = list(
        Step.objects.filter(execution=execution)
        .defer("input", "output")
        .order_by("position", "id")[: MOST_STEPS + 1]
    )
    steps = found[:MOST_STEPS]
    version = execution.version
    statuses = {step.node_id: step.status for step in steps}
    payloads.load([execution])
    return {
        "execution": execution,
        "workflow": execution.workflow,
        "title": f"{execution.workflow} · {execution.status}",
        "started_by": started_by(execution),
        "facts": [fact for fact in facts_of(execution) if fact[1] not in {None, ""}],
        "holder": holder_of(execution),
        "drawing": draw(version.nodes, version.edges, statuses),
        "rows": timeline(execution, steps),
        "has_more_steps": len(found) > MOST_STEPS,
        "most_steps": MOST_STEPS,
        "logs": [
            {**line, "moment": datetime.fromisoformat(line["time"])}
            for line in execution.logs
        ],
        "can_cancel": not execution.is_over,
        "can_resume": execution.status in {Status.FAILED, Status.CANCELLED}
        and not execution.only_node_id,
        "others": list_of(Execution, workflow__id__exact=execution.workflow_id),
    }


def started_by(execution: Execution) -> SafeString | str:
    trigger = execution.trigger
    kind = str(trigger.get("type", "api"))
    text: SafeString | str = STARTED_BY.get(kind, kind.capitalize())
    if kind == "rerun" and trigger.get("of"):
        old = Execution(pk=str(trigger["of"]))
        text = format_html("Run again after {}", as_link(page_of(old), as_id(old.pk)))
        if trigger.get("from"):
            text = format_html("{}, from {}", text, trigger["from"])
    if execution.created_by is not None:
        text = format_html("{}, {}", text, as_row_link(execution.created_by))
    return format_html("{} (as a draft)", text) if trigger.get("draft") else text


def facts_of(execution: Execution) -> Iterator[tuple[str, Any]]:
    """Label and value; a value that is a moment is shown as one."""
    yield "Created", execution.created_at
    yield "Started", execution.started_at
    if execution.started_at:
        queued = execution.started_at - execution.created_at
        yield "In the queue", as_duration(max(0.0, queued.total_seconds() * 1000))
    yield "Ended", execution.completed_at
    if execution.is_over:
        yield "Took", as_duration(execution.duration_ms)
    elif execution.status != Status.RUNNING:
        label = "Due" if execution.status == Status.PENDING else "Goes on"
        yield label, execution.next_attempt_at
        if execution.next_attempt_at is None and execution.concurrency_key is not None:
            yield "In line", execution.concurrency_key or "with all others"
    yield "Cancel asked for", execution.cancel_requested_at
    yield "Labels", ", ".join(map(": ".join, execution.labels.items()))
    yield "Models", as_usage(execution.usage)


def as_usage(usage: dict[str, Any] | None) -> str:
    """`craftai-1: 120 tokens in, 30 out, $0.0004`, as far as it is known."""
    if not usage or "input_tokens" not in usage:
        return ""
    tokens = f"{usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out, ${usage['cost_micros'] / 1_000_000:,.4f}"
    unpriced = usage["unpriced_calls"]
    more = f" and {unpriced} of unknown price" if unpriced else ""
    model = f"{usage['model']}: " if usage.get("model") else ""
    return f"{model}{tokens}{more}"


def holder_of(execution: Execution) -> dict[str, Any] | None:
    """Which process has the execution, out of `host/namespace/pid/word`."""
    if not execution.lease_owner:
        return None
    host, _, rest = execution.lease_owner.partition("/")
    return {
        "host": host,
        "pid": rest.partition("/")[2].partition("/")[0],
        "until": execution.lease_expires_at,
        "epoch": execution.lease_epoch,
        "attempts": execution.attempts,
        "is_late": bool(
            execution.lease_expires_at and execution.lease_expires_at < timezone.now()
        ),
    }


def timeline(execution: Execution, steps: list[Step]) -> list[dict[str, Any]]:
    """Each step with its place in the execution's time, in per cent."""
    start = execution.started_at or execution.created_at
    begun = [step for step in steps if step.status != "skipped"]
    start = min([start, *(step.started_at for step in begun)])
    ends = [step.completed_at or timezone.now() for step in begun]
    end = max([execution.completed_at or timezone.now(), *ends])
    whole = max((end - start).total_seconds(), 0.000_001)
    rows = []
    for step in steps:
        offset = 100 * (step.started_at - start).total_seconds() / whole
        stop = step.completed_at or (end if not execution.is_over else step.started_at)
        length = 100 * (stop - step.started_at).total_seconds() / whole
        left = min(max(offset, 0.0), 100 - LEAST_BAR)
        rows.append(
            {
                "step": step,
                "left": left,
                "width": min(max(length, LEAST_BAR), 100 - left),
                "kind": NODES[step.type].summary if step.type in NODES else "",
            }
        )
    return rows


def recent_executions(most: int = 10, **filters: Any) -> QuerySet[Execution]:
    rows = Execution.unscoped.filter(**filters).select_related("workflow", "company")
    return rows.defer("input", "output", "logs").order_by("-pk")[:most]
