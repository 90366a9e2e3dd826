"""The operator console as a whole: whose it is, that every page answers, and what its pages cost."""

import re
from datetime import timedelta

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from unfold.admin import TabularInline

from accounts.models import ApiKey, AuditEntry, Company, User
from accounts.services.companies import create_outlet
from accounts.services.invitations import invite
from accounts.services.mail import queue_mail
from agents.models import AgentExecution
from agents.services import create_agent
from billing.models import Plan
from craft.admin import ConsoleAdmin, ConsoleInline, ReadOnlyAdmin, check_writing
from craft.admin.navigation import GROUPS, get_navigation, search
from craft.admin.shown import as_bytes, as_duration, as_json, as_moment, in_short
from craft.admin.writing import ConsoleFormSet, Writer
from craft.fields import lowest_id, new_id
from datasources.models import DataSource, DataTable
from integrations.services.credentials import create_credential
from tests.factories import PASSWORD, make_key, make_person, make_workflow
from workflows.models import Approval, Execution, Step
from workflows.services import executions

GRAPH = {
    "nodes": [
        {"id": "begin", "type": "input"},
        {"id": "double", "type": "transform", "config": {"set": {"twice": "{{ input.n * 2 }}"}}},
        {"id": "end", "type": "output"},
    ],
    "edges": [
        {"source": "begin", "target": "double"},
        {"source": "double", "target": "end"},
    ],
}  # fmt: skip


@pytest.fixture
def operator(db) -> User:
    return User.objects.create_superuser(
        "olive@example.com", PASSWORD, full_name="Olive"
    )


@pytest.fixture
def console(operator) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def make_rows(operator) -> None:
    """A company with something of everything that the console shows."""
    person = make_person(full_name="Ada Admin")
    make_person(company=person.company, role="viewer")
    make_key(person)
    workflow = make_workflow(person, **GRAPH)
    for number in (1, None):
        executions.start_execution(
            workflow=workflow,
            company=person.company,
            user=person.user,
            input={"n": number},
            trigger={"type": "api"},
        )
    while executions.run_due():
        pass
    source = DataSource.unscoped.create(company=person.company, source_name="Flights")
    for name in ("flights", "airlines"):
        DataTable.unscoped.create(
            company=person.company,
            source=source,
            name=name,
            columns=[{"name": "dep_delay", "type": "BIGINT"}],
            row_count=1_000,
            bytes=20_000,
            file_name=f"{name}.parquet",
        )
    agent = create_agent(
        company=person.company, user=person.user, data_sources=[source], name="Analyst"
    )
    AgentExecution.unscoped.create(
        company=person.company,
        agent=agent,
        agent_name=agent.name,
        version=1,
        input="How late?",
        model="craftai-1",
        status="failed",
        error={"code": "unavailable", "message": "No key."},
    )
    Approval.unscoped.create(
        company=person.company,
        execution=Execution.unscoped.filter(company=person.company).first(),
        node_id="ask",
        slot="ask::1",
        title="May it?",
        people=[person.user.email],
    )
    create_outlet(company=person.company, name="Dock")
    create_credential(
        company=person.company,
        user=person.user,
        name="Shop",
        type="api_key",
        value="a-secret-value",
    )
    invite(
        company=person.company,
        user=person.user,
        email=f"of-{person.company.pk}@example.com",
        role="viewer",
    )
    queue_mail(to=person.user.email, template="password_changed", context={})
    LogEntry.objects.log_actions(
        operator.pk, [workflow], 2, "Looked at it", single_object=True
    )


@pytest.fixture
def rows(operator) -> None:
    make_rows(operator)


def registered():
    return [
        pytest.param(model, id=model._meta.label_lower)
        for model in admin.site._registry
    ]


def name_of(model, page: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"


def list_url(model) -> str:
    return reverse(name_of(model, "changelist"))


# --- Every page ---


@pytest.mark.parametrize("model", registered())
def test_every_list_and_page_answers(console, rows, model):
    assert console.get(list_url(model)).status_code == 200
    found = list(model._default_manager.all())
    assert found, "the rows of this test leave this kind out"
    for row in found:
        for page in ("change", "history"):
            url = reverse(name_of(model, page), args=[row.pk])
            assert console.get(url).status_code == 200


@pytest.mark.parametrize("model", registered())
def test_every_form_to_add_answers_or_is_refused(console, operator, model, rf):
    request = rf.get("/")
    request.user = operator
    may_add = admin.site._registry[model].has_add_permission(request)
    answer = console.get(reverse(name_of(model, "add")))
    assert answer.status_code == (200 if may_add else 403)


@pytest.mark.parametrize(
    "model", [model for model in registered() if model.values[0] is not User]
)
def test_an_empty_list_says_what_to_do(console, model):
    QuerySet(model).delete()  # also of what is only added to
    text = console.get(list_url(model)).content.decode()
    assert f"No {model._meta.verbose_name_plural} yet" in text
    model_admin = admin.site._registry[model]
    assert model_admin.empty_hint.split("{")[0].split("'")[0] in text


@pytest.mark.parametrize("model", registered())
def test_strangers_and_customers_are_sent_to_log_in(client, rows, model):
    urls = [list_url(model)]
    urls += [
        reverse(name_of(model, "change"), args=[row.pk])
        for row in model._default_manager.all()[:1]
    ]
    for url in urls:
        assert client.get(url).headers["Location"].startswith("/admin/login/")
    client.force_login(User.objects.filter(is_staff=False).first())
    for url in urls:
        assert client.get(url).headers["Location"].startswith("/admin/login/")


def test_whoever_is_an_operator_may_do_what_the_console_offers(client, rows):
    """One switch: there are no operators who can sign in and see nothing."""
    user = make_person().user
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(user)
    assert "Companies" in client.get("/admin/").content.decode()
    assert client.get(list_url(Execution)).status_code == 200


def test_an_operator_who_was_made_inactive_is_out(console, operator):
    User.objects.filter(pk=operator.pk).update(is_active=False)
    assert console.get("/admin/").status_code == 302


def test_the_log_in_page_says_how_to_get_a_password(client, db):
    text = client.get("/admin/login/").content.decode()
    assert "manage.py createsuperuser" in text
    assert "make run" in text


def test_an_operator_logs_in_by_e_mail_in_any_case(client, operator):
    answer = client.post(
        "/admin/login/", {"username": "OLIVE@example.com", "password": PASSWORD}
    )
    assert answer.headers["Location"]
    assert client.get("/admin/").status_code == 200


def test_pages_fetch_nothing_from_elsewhere(console, rows):
    pages = ["/admin/", "/admin/login/", *map(list_url, admin.site._registry)]
    pages += [
        reverse(name_of(model, "change"), args=[model._default_manager.first().pk])
        for model in admin.site._registry
    ]
    loads = re.compile(r"""(?:src|href|action|hx-get)\s*=\s*["'](?:https?:)?//[^"']+""")
    for page in pages:
        assert loads.findall(console.get(page).content.decode()) == []


# --- What pages cost ---


def test_lists_ask_as_many_questions_for_many_rows_as_for_few(console, operator, rows):
    few = {model: questions_of(console, model) for model in admin.site._registry}
    for _ in range(4):
        make_rows(operator)
    many = {model: questions_of(console, model) for model in admin.site._registry}
    assert many == few
    assert max(few.values()) <= 8


def questions_of(console, model) -> int:
    """Of its list, when it is opened for the second time."""
    console.get(list_url(model))
    with CaptureQueriesContext(connection) as asked:
        console.get(list_url(model))
    return len(asked)


@pytest.mark.parametrize("model", registered())
def test_a_page_asks_a_fixed_number_of_questions(console, operator, rows, model):
    url = reverse(name_of(model, "change"), args=[model._default_manager.first().pk])
    console.get(url)
    with CaptureQueriesContext(connection) as asked:
        console.get(url)
    assert len(asked) <= 12


def test_a_long_list_is_counted_up_to_a_bound(console, rows, monkeypatch):
    monkeypatch.setattr("craft.admin.COUNTED", 2)
    User.objects.create_user("third@example.com")
    text = console.get(list_url(User)).content.decode()
    assert "more than 2" in text
    assert "third@example.com" in text


# --- Finding one's way ---


def test_every_kind_of_row_has_its_place_in_the_sidebar():
    placed = {label for models in GROUPS.values() for label in models}
    assert {model._meta.label_lower for model in admin.site._registry} <= placed


def test_every_kind_of_row_is_a_console_page():
    assert all(
        isinstance(model_admin, ConsoleAdmin)
        for model_admin in admin.site._registry.values()
    )


def test_the_sidebar_leads_where_it_says(console):
    for group in get_navigation(None):
        for item in group["items"]:
            assert console.get(item["link"]).status_code == 200


def test_search_finds_names_in_part_and_ids_whole(console, operator, rows, rf):
    request = rf.get("/")
    request.user = operator
    execution = Execution.unscoped.first()
    titles = [found.title for found in search(request, "analy")]
    assert titles == ["Analyst"]
    assert [found.title for found in search(request, execution.pk)] == [execution.pk]
    assert search(request, "a") == []
    shown = console.get("/admin/search/", {"s": "analy", "extended": "1"})
    assert "Analyst" in shown.content.decode()
    shown = console.get("/admin/search/", {"s": "nobody has this", "extended": "1"})
    assert "Nothing found" in shown.content.decode()


def test_search_names_somebody_in_two_companies_once(operator, rf):
    person = make_person(full_name="Twice Here")
    make_person()
    for _ in range(2):
        other = make_person().company
        other.memberships.create(user=person.user)
    request = rf.get("/")
    request.user = operator
    assert len(search(request, "Twice Here")) == 1


def test_lists_are_searched_by_the_ids_of_what_rows_belong_to(console, operator, rows):
    make_rows(operator)
    execution = Execution.unscoped.first()

    def found(term):
        answer = console.get(list_url(Execution), {"q": term})
        return len(answer.context["cl"].result_list)

    assert found(execution.pk) == found(execution.pk[-8:]) == 1
    assert found(execution.workflow_id) == 2
    assert found(execution.workflow.name) == 2
    assert found(execution.company.name) == 2
    assert found(new_id("wf")) == 0
    text = console.get(list_url(Execution), {"q": "nobody"}).content.decode()
    assert "Nothing matches" in text


def test_a_table_in_a_list_can_be_filtered_by_company(console, operator, rows):
    make_rows(operator)
    company_id = ApiKey.unscoped.first().company_id
    for model in (ApiKey, Execution, DataSource):
        answer = console.get(list_url(model), {"company__id__exact": company_id})
        assert {row.company_id for row in answer.context["cl"].result_list} == {
            company_id
        }


# --- What is written is told ---


def other_value(bound):
    """Something else than the field holds."""
    field, value = bound.field, bound.value()
    if isinstance(field, forms.BooleanField):
        return "" if value else "on"
    if isinstance(field, forms.ChoiceField):
        return next(
            str(key) for key, _ in field.choices if str(key) not in {"", str(value)}
        )
    if isinstance(field, forms.IntegerField):
        return (value or 0) + 1
    return f"x{value}"


def sent(form):
    return {
        bound.html_name: "on" if bound.value() is True else bound.value()
        for bound in form
        if bound.value() is not None and bound.value() is not False
    }


def changes_of(page):
    """What a browser sends that changes one field of this page: for each field, in the page's own form and in those of rows upon it."""
    own, inlines = page.context["adminform"].form, page.context["inline_admin_formsets"]
    base = sent(own)
    for inline in inlines:
        base |= sent(inline.formset.management_form)
        for form in inline.formset.initial_forms:
            base |= sent(form)
    changeable = [own, *(form for one in inlines for form in one.formset.initial_forms)]
    return {
        bound.html_name: {**base, bound.html_name: other_value(bound)}
        for form in changeable
        for bound in form
        if not bound.is_hidden and not bound.field.disabled
    }


class Written:
    """The tables that are written to."""

    def __init__(self):
        self.tables = set()

    def __call__(self, execute, sql, params, many, context):
        if found := WRITES.match(sql):
            self.tables.add(found[1])
        return execute(sql, params, many, context)


WRITES = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')
OWN_OF_THE_CONSOLE = re.compile("django_")


def may_write(model, operator, rf):
    request = rf.get("/")
    request.user = operator
    model_admin = admin.site._registry[model]
    return (
        model_admin.has_change_permission(request),
        model_admin.has_delete_permission(request),
    )


def writable():
    """All but what is only read, and what is the installation's own."""
    return [
        one
        for one in registered()
        if not isinstance(admin.site._registry[one.values[0]], ReadOnlyAdmin)
        and one.values[0] is not Plan
    ]


@pytest.mark.parametrize("model", writable())
def test_whatever_the_console_writes_is_in_the_audit_log_of_its_company(
    console, operator, rows, model, rf
):
    may_change, may_delete = may_write(model, operator, rf)
    row = (
        model._default_manager.filter(is_staff=False).first()
        if model is User
        else model._default_manager.first()
    )
    company = getattr(row, "company", None) or Company.objects.first()
    url = reverse(name_of(model, "change"), args=[row.pk])

    def told():
        return AuditEntry.objects.for_company(company).filter(user_id=operator.pk)

    def write(url, data):
        before, written = told().count(), Written()
        with connection.execute_wrapper(written):
            console.post(url, data)
        ours = {name for name in written.tables if not OWN_OF_THE_CONSOLE.match(name)}
        assert bool(ours) == (told().count() > before), (data, ours)
        return bool(ours)

    if may_change:
        names = changes_of(console.get(url)).keys()
        written = [write(url, changes_of(console.get(url))[name]) for name in names]
        assert sum(written) >= len(written) / 2
    if may_delete:
        assert write(reverse(name_of(model, "delete"), args=[row.pk]), {"post": "yes"})


class Rogue(ConsoleAdmin):
    def delete_model(self, request, obj):
        obj.delete()


class RogueFormSet(ConsoleFormSet):
    def save_new(self, form, commit=True):
        return form.save()


class Open(TabularInline):
    model = DataTable


class RogueInline(ConsoleInline):
    formset = RogueFormSet


class OfOpen(ConsoleAdmin):
    inlines = [Open]


class OfRogue(ConsoleAdmin):
    inlines = [RogueInline]


@pytest.mark.parametrize(
    ("rogue", "way"),
    [
        (Rogue, "Rogue.delete_model"),
        (OfOpen, "Open.formset"),
        (OfRogue, "RogueFormSet.save_new"),
    ],
)
def test_an_admin_class_that_writes_its_own_way_stops_the_start(
    monkeypatch, rogue, way
):
    assert list(check_writing()) == []
    monkeypatch.setitem(admin.site._registry, DataTable, rogue(DataTable, admin.site))
    (error,) = check_writing()
    assert (error.id, error.msg.split()[0]) == ("craft.E051", way)


def test_what_no_service_tells_is_told_by_the_console(
    console, operator, rows, monkeypatch
):
    """A class without a writer of its own."""
    monkeypatch.setattr(admin.site._registry[DataSource], "writer", Writer())
    source = DataSource.unscoped.first()
    url = reverse(name_of(DataSource, "change"), args=[source.pk])
    data = changes_of(console.get(url))["source_name"]
    assert console.post(url, data).status_code == 302
    entry = AuditEntry.objects.for_company(source.company).order_by("pk").last()
    assert (entry.type, entry.user_id) == ("data_source.updated", operator.pk)
    assert entry.resource_id == source.pk
    assert entry.changes == {"source_name": ["Flights", "xFlights"]}


# --- The overview ---


def test_the_overview_of_an_empty_installation_says_what_to_do_next(console):
    text = console.get("/admin/").content.decode()
    assert "Nobody has registered yet" in text
    assert "/api/v1/auth/register" in text
    make_person()
    assert "no workflow yet" in console.get("/admin/").content.decode()
    make_workflow(make_person(), **GRAPH)
    assert "Nothing ran in the last 24 hours" in console.get("/admin/").content.decode()


def test_the_overview_shows_what_ran_and_what_failed(console, rows):
    answer = console.get("/admin/")
    statuses = answer.context["statuses"]
    assert {status: number for status, number, _ in statuses} == {
        "pending": 0,
        "running": 0,
        "waiting": 0,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
    }
    failed = Execution.unscoped.get(status="failed")
    text = answer.content.decode()
    assert reverse(name_of(Execution, "change"), args=[failed.pk]) in text
    assert failed.company.name in text
    assert failed.error["message"].split("'")[0][:30] in text


def test_the_overview_costs_the_same_whatever_ran(console, operator, rows):
    console.get("/admin/")
    with CaptureQueriesContext(connection) as few:
        console.get("/admin/")
    for _ in range(3):
        make_rows(operator)
    with CaptureQueriesContext(connection) as many:
        console.get("/admin/")
    assert len(few) == len(many) == 7  # two are the session's and the operator's


def sweeping(monkeypatch, is_sweeping: bool) -> None:
    monkeypatch.setattr("workflows.admin.overview.is_sweeping", lambda: is_sweeping)


def test_the_overview_shows_how_long_the_oldest_due_row_has_waited(
    console, rows, monkeypatch
):
    due = timezone.now() - timedelta(minutes=7)
    Execution.unscoped.filter(status="completed").update(
        status="pending", next_attempt_at=due
    )
    queue = console.get("/admin/").context["queue"]
    assert (queue["pending"], queue["due"], queue["oldest_due"]) == (1, 1, due)
    sweeping(monkeypatch, True)
    assert "The queue stands" in console.get("/admin/").content.decode()


def test_the_overview_says_when_no_worker_is_there(console, monkeypatch):
    sweeping(monkeypatch, False)
    assert "No worker has been seen" in console.get("/admin/").content.decode()
    sweeping(monkeypatch, True)
    assert "No worker has been seen" not in console.get("/admin/").content.decode()


def test_what_was_started_before_is_not_of_the_last_day(console, rows):
    before = lowest_id("exec", timezone.now() - timedelta(hours=25))
    Execution.unscoped.filter(status="completed").delete()
    Step.objects.all().delete()
    Execution.unscoped.filter(status="failed").update(id=before)
    assert console.get("/admin/").context["total"] == 0


# --- How values are written ---


def test_json_is_shown_as_text_whatever_is_in_it():
    shown = as_json({"<script>": "</pre><img src=x onerror=alert(1)>", "n": [1, None]})
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "&lt;img src=x" in shown


def test_json_that_goes_on_for_pages_is_cut():
    shown = as_json({"text": "x" * 2_000_000})
    assert len(shown) < 50_000
    assert "2.0\N{NO-BREAK SPACE}MB in all" in shown


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.02, "< 0.1 ms"),
        (4.24, "4.2 ms"),
        (512, "512 ms"),
        (4_240, "4.2 s"),
        (75_000, "75 s"),
        (600_000, "10 min"),
        (90_000_000, "25 h"),
    ],
)
def test_durations_are_as_exact_as_they_need_to_be(milliseconds, text):
    assert as_duration(milliseconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_sizes_moments_and_glimpses():
    assert as_bytes(1_234_567).replace("\N{NO-BREAK SPACE}", " ") == "1.2 MB"
    assert "2 h ago" in as_moment(timezone.now() - timedelta(hours=2)).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert ">in " in as_moment(timezone.now() + timedelta(hours=3))
    assert in_short({"a": 1, "b": 2}) == "a, b"
    assert in_short([1]) == "1 item"


def test_an_id_made_after_a_moment_is_above_its_bound():
    before = lowest_id("exec", timezone.now() - timedelta(milliseconds=2))
    made = new_id("exec")
    assert before < made < lowest_id("exec", timezone.now() + timedelta(seconds=1))
