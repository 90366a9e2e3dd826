"""What an operator sees of workflows and executions, and does to them."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from craft.events import current_actor, subscribe
from craft.fields import lowest_id
from craft.leases import claim
from tests.factories import PASSWORD, make_workflow
from workflows.admin import executions as console_pages
from workflows.admin.executions import timeline
from workflows.events import EXECUTION_CANCELLED
from workflows.models import Execution, Step
from workflows.services import executions
from workflows.services.workflows import update_workflow

CHAIN = {
    "nodes": [
        {"id": "begin", "type": "input"},
        {
            "id": "double",
            "name": "Double it",
            "type": "transform",
            "config": {"set": {"twice": "{{ input.n * 2 }}"}},
        },
        {"id": "end", "type": "output"},
    ],
    "edges": [
        {"source": "begin", "target": "double"},
        {"source": "double", "target": "end"},
    ],
}
LATER = {
    "nodes": [
        {"id": "wait", "type": "delay", "config": {"seconds": 3600}},
        {"id": "end", "type": "output"},
    ],
    "edges": [{"source": "wait", "target": "end"}],
}
LIST = "/admin/workflows/execution/"


@pytest.fixture
def operator(db) -> User:
    return User.objects.create_superuser("olive@example.com", PASSWORD)


@pytest.fixture
def console(operator) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def start(person, graph, **more) -> Execution:
    fields = {"input": {"n": 4}, "trigger": {"type": "api"}, **more}
    workflow = make_workflow(person, **graph)
    return executions.start_execution(
        workflow=workflow, company=person.company, user=person.user, **fields
    )


def drain() -> None:
    while executions.run_due():
        pass


def page(execution, action="change") -> str:
    return reverse(f"admin:workflows_execution_{action}", args=[execution.pk])


def read(console, url) -> str:
    return " ".join(console.get(url).content.decode().split())


# --- Reading ---


def test_an_execution_is_told_by_its_steps(console, alice):
    execution = start(alice, CHAIN)
    drain()
    text = read(console, page(execution))
    for said in (
        execution.workflow.name,
        alice.company.name,
        alice.user.email,
        "Completed",
        "Double it",
        "version 1",
    ):
        assert said in text
    assert "Cancel</a>" not in text


def test_a_failure_is_told_in_words(console, alice):
    execution = start(alice, CHAIN, input={"n": None})
    drain()
    execution.refresh_from_db()
    message = execution.error["message"].split("'")[0]
    assert message in read(console, page(execution))
    assert message in read(console, LIST)
    assert "In node <code>double</code>" in read(console, page(execution))


def test_what_went_in_and_came_out_of_a_step_is_fetched_by_itself(console, alice):
    execution = start(alice, CHAIN, input={"n": 4, "secret_word": "<b>heron</b>"})
    drain()
    step = Step.objects.get(execution=execution, node_id="double")
    url = reverse("admin:workflows_execution_step", args=[execution.pk, step.pk])
    text = read(console, url)
    assert "twice" in text
    assert "&lt;b&gt;heron&lt;/b&gt;" in text
    assert "<b>heron" not in text


def test_a_step_is_read_under_its_own_execution_only(console, client, alice):
    one, other = start(alice, CHAIN), start(alice, CHAIN)
    drain()
    step = Step.objects.filter(execution=one).first()
    url = reverse("admin:workflows_execution_step", args=[other.pk, step.pk])
    assert console.get(url).status_code == 404
    assert client.get(url).headers["Location"].startswith("/admin/login/")


def test_the_page_names_the_process_that_has_it(console, alice):
    execution = start(alice, CHAIN)
    claim(Execution, limit=5)
    execution.refresh_from_db()
    pid = execution.lease_owner.split("/")[2]
    assert f"process {pid} on" in read(console, page(execution))


def test_an_execution_that_waits_says_until_when(console, alice):
    execution = start(alice, LATER)
    drain()
    text = read(console, page(execution))
    assert "Waiting" in text
    assert "Goes on" in text


def test_a_long_log_is_lines(console, alice):
    execution = start(alice, CHAIN)
    drain()
    line = {"time": "2026-01-02T03:04:05.678Z", "level": "error", "node_id": "double"}
    Execution.unscoped.filter(pk=execution.pk).update(
        logs=[{**line, "message": "It broke", "data": {"n": 1}}]
    )
    text = read(console, page(execution))
    assert "03:04:05.678" in text
    assert "It broke <code>{&quot;n&quot;: 1}</code>" in text


def test_an_execution_of_very_many_steps_shows_the_first(console, alice, monkeypatch):
    monkeypatch.setattr(console_pages, "MOST_STEPS", 2)
    execution = start(alice, CHAIN)
    drain()
    assert "The first 2 steps" in read(console, page(execution))


def test_a_bar_stays_within_the_timeline(alice):
    execution = start(alice, CHAIN)
    drain()
    execution.refresh_from_db()
    rows = timeline(execution, list(Step.objects.filter(execution=execution)))
    assert len(rows) == 3
    assert all(row["left"] >= 0 and row["left"] + row["width"] <= 100 for row in rows)


def test_a_workflow_shows_what_it_does(console, alice):
    start(alice, CHAIN)
    workflow = make_workflow(
        alice,
        steps=[{"type": "transform", "config": {"set": {"a": 1}}}],
        trigger={"type": "cron", "schedule": "0 6 * * *", "timezone": "Europe/Berlin"},
    )
    text = read(console, reverse("admin:workflows_workflow_change", args=[workflow.pk]))
    for said in ("Pipeline", "0 6 * * *", "Europe/Berlin", "<svg", "Version 1"):
        assert said in text


def test_executions_are_filtered_by_status_and_time(console, alice):
    start(alice, CHAIN)
    old = start(alice, CHAIN)
    Execution.unscoped.filter(pk=old.pk).update(
        id=lowest_id("exec", timezone.now() - timedelta(days=2))
    )
    start(alice, LATER)
    drain()

    def found(**filters):
        return len(console.get(LIST, filters).context["cl"].result_list)

    assert found() == 3
    assert found(started="day") == 2
    assert found(started="week") == 3
    assert found(status__exact="waiting") == 1
    assert found(started="nonsense") == 3


# --- Doing ---


def test_looking_changes_nothing(console, alice):
    execution = start(alice, LATER)
    drain()
    for action in ("cancel", "rerun", "resume"):
        answer = console.get(page(execution, action))
        assert answer.status_code == 200
    execution.refresh_from_db()
    assert execution.status == "waiting"
    assert Execution.unscoped.count() == 1


@pytest.mark.parametrize("action", ["cancel", "rerun", "resume"])
def test_a_change_needs_a_form_of_ours(operator, alice, action):
    execution = start(alice, LATER)
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.post(page(execution, action)).status_code == 403
    client.get(page(execution, action))
    token = client.cookies["csrftoken"].value
    answer = client.post(page(execution, action), {"csrfmiddlewaretoken": token})
    assert answer.status_code == 302


@pytest.mark.parametrize("action", ["cancel", "rerun", "resume"])
def test_customers_do_nothing_here(client, alice, action):
    execution = start(alice, LATER)
    client.force_login(alice.user)
    answer = client.post(page(execution, action))
    assert answer.headers["Location"].startswith("/admin/login/")
    execution.refresh_from_db()
    assert execution.cancel_requested_at is None
    assert Execution.unscoped.count() == 1


@pytest.mark.parametrize("action", ["cancel", "rerun", "resume"])
def test_an_execution_that_is_gone_is_not_found(console, action, db):
    url = reverse(f"admin:workflows_execution_{action}", args=["exec_gone"])
    assert console.post(url).status_code == 404


def test_cancelling_ends_it_and_says_so(console, operator, alice):
    execution = start(alice, LATER)
    drain()
    answer = console.post(page(execution, "cancel"), follow=True)
    assert answer.redirect_chain == [(page(execution), 302)]
    assert "Cancelled." in answer.content.decode()
    execution.refresh_from_db()
    assert execution.status == "cancelled"
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, execution.pk)
    assert entry.get_change_message() == f"Cancelled a run of {execution.workflow}"


def test_cancelling_what_another_process_has_says_that_it_will_end(console, alice):
    execution = start(alice, LATER)
    claim(Execution, limit=5)
    answer = console.post(page(execution, "cancel"), follow=True)
    text = answer.content.decode()
    assert "has been told to stop" in text
    assert "Being cancelled" in text
    execution.refresh_from_db()
    assert execution.cancel_requested_at is not None


def test_cancelling_what_is_over_is_refused_in_words(console, alice):
    execution = start(alice, CHAIN)
    drain()
    answer = console.post(page(execution, "cancel"), follow=True)
    assert "This execution is completed already." in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_what_is_published_says_which_operator_did_it(console, operator, alice):
    actors = []
    subscribe(EXECUTION_CANCELLED, lambda event: actors.append(current_actor.get()))
    execution = start(alice, LATER)
    console.post(page(execution, "cancel"))
    assert [actor.user_id for actor in actors] == [operator.pk]


def test_what_failed_goes_on_from_where_it_failed(console, alice):
    broken = {"id": "bad", "type": "transform", "config": {"expression": "{{ 1/0 }}"}}
    graph = {
        "nodes": [{"id": "start", "type": "input"}, broken],
        "edges": [{"source": "start", "target": "bad"}],
    }
    execution = start(alice, graph)
    drain()
    assert "Go on from the failure" in read(console, page(execution))
    answer = console.post(page(execution, "resume"), follow=True)
    new = Execution.unscoped.exclude(pk=execution.pk).get()
    assert answer.redirect_chain == [(page(new), 302)]
    assert [step.origin for step in new.steps.all()] == ["taken_over"]
    assert "from failed" in answer.content.decode()


def test_running_again_leads_to_the_new_execution(console, operator, alice):
    execution = start(alice, CHAIN)
    drain()
    answer = console.post(page(execution, "rerun"), follow=True)
    new = Execution.unscoped.exclude(pk=execution.pk).get()
    assert answer.redirect_chain == [(page(new), 302)]
    assert new.input == execution.input
    assert new.created_by == operator
    text = " ".join(answer.content.decode().split())
    assert f'Started again as <a class="craft-link" href="{page(new)}"' in text
    assert "Run again after" in text
    assert page(execution) in text
    assert "it stays as it is" not in text


def test_before_running_again_it_says_what_differs(console, alice):
    graph = {
        "nodes": [
            {"id": "begin", "type": "input"},
            {
                "id": "call",
                "name": "Tell the desk",
                "type": "http",
                "config": {"url": "https://desk.example.com"},
            },
        ],
        "edges": [{"source": "begin", "target": "call"}],
    }
    execution = start(alice, CHAIN)
    drain()
    update_workflow(execution.workflow, user=alice.user, status="published", **graph)
    text = read(console, page(execution, "rerun"))
    assert "It ran version 1; version 2 is what runs now" in text
    assert "These nodes reach outside, and will again: Tell the desk." in text


def choose(console, action, chosen, **more):
    data = {"action": action, "_selected_action": [one.pk for one in chosen], **more}
    return console.post(LIST, data, follow=True)


def test_several_are_cancelled_after_a_question(console, alice):
    chosen = [start(alice, LATER), start(alice, LATER), start(alice, CHAIN)]
    drain()
    text = choose(console, "cancel_selected", chosen).content.decode()
    assert "Cancel 3 executions?" in text
    assert Execution.unscoped.filter(status="cancelled").count() == 0
    answer = choose(console, "cancel_selected", chosen, confirmed="yes")
    text = answer.content.decode()
    assert "Cancelled 2." in text
    assert "This execution is completed already." in text
    assert Execution.unscoped.filter(status="cancelled").count() == 2


def test_several_are_run_again_after_a_question(console, alice):
    chosen = [start(alice, CHAIN), start(alice, CHAIN)]
    drain()
    text = choose(console, "rerun_selected", chosen).content.decode()
    assert "Run 2 executions again?" in text
    assert Execution.unscoped.count() == 2
    text = choose(console, "rerun_selected", chosen, confirmed="yes").content.decode()
    assert "Started 2 again." in text
    assert Execution.unscoped.count() == 4


def test_too_many_at_once_are_refused(console, alice, monkeypatch):
    monkeypatch.setattr(console_pages, "MOST_AT_ONCE", 1)
    chosen = [start(alice, LATER), start(alice, LATER)]
    answer = choose(console, "cancel_selected", chosen, confirmed="yes")
    assert "at most 1 executions at a time" in answer.content.decode()
    assert not Execution.unscoped.filter(status="cancelled").exists()


@pytest.mark.parametrize("model", ["workflow", "execution"])
def test_nothing_is_added_changed_or_deleted_by_hand(console, alice, model):
    execution = start(alice, CHAIN)
    pk = execution.pk if model == "execution" else execution.workflow_id
    assert console.get(f"/admin/workflows/{model}/add/").status_code == 403
    for action in ("change", "delete"):
        url = reverse(f"admin:workflows_{model}_{action}", args=[pk])
        assert console.post(url, {"post": "yes"}).status_code == 403
    assert Execution.unscoped.filter(pk=execution.pk).exists()


def test_a_workflows_page_tells_what_is_live_from_what_is_edited(console, alice):
    notices = make_workflow(alice, name="Tell the desk", **CHAIN)
    workflow = make_workflow(alice, error_workflow=notices, **CHAIN)
    update_workflow(workflow, user=alice.user, variables={"a": 1})
    url = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    text = read(console, url)
    assert "version 2, the newest; version 1 is live" in text
    assert "Tell the desk" in text
