"""Executions that wait: for signals, for people, and for other executions. None holds a worker, and a restart forgets nothing."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.core import mail as outbox
from django.test import Client
from django.utils import timezone

from accounts.models import Mail, Role
from accounts.services import mail
from craft.exceptions import ConflictError, InvalidError
from tests.factories import PASSWORD, make_person, make_workflow
from tests.workflows.test_executions import drain, start
from workflows.models import Approval, Execution, Signal, Step
from workflows.services import approvals, executions
from workflows.services.approvals import NotAskedError
from workflows.services.signals import send_signal
from workflows.services.workflows import update_workflow


def graph(*nodes, edges=()):
    """A chain, unless edges are given."""
    ids = [node["id"] for node in nodes]
    chain = [{"source": a, "target": b} for a, b in pairwise(ids)]
    return {"nodes": list(nodes), "edges": list(edges) or chain}


def node(node_id, kind, **config):
    return {"id": node_id, "type": kind, "config": config}


def edge(source, target, handle="main"):
    return {"source": source, "target": target, "source_handle": handle}


def run(person, workflow, **more):
    execution = start(person, workflow, **more)
    drain()
    execution.refresh_from_db()
    return execution


def carry_on(execution):
    drain()
    execution.refresh_from_db()
    return execution


def pass_time(execution, seconds):
    """As if it had waited so long already."""
    back = timedelta(seconds=seconds)
    for step in Step.objects.filter(execution=execution, completed_at=None):
        step.started_at -= back
        step.save()
    Approval.unscoped.filter(execution=execution).update(
        expires_at=timezone.now() - timedelta(seconds=2)
    )
    Execution.unscoped.filter(pk=execution.pk).update(next_attempt_at=timezone.now())


# --- wait ---

PAID = graph(
    node("paid", "wait", signal="paid-{{ input.n }}"), node("end", "output", value="{{ input.amount }}")
)  # fmt: skip


def test_a_signal_wakes_what_waits_for_it(alice):
    execution = run(alice, make_workflow(alice, **PAID))
    assert (execution.status, execution.next_attempt_at) == ("waiting", None)
    assert execution.lease_owner == ""
    send_signal(execution, name="paid-4", data={"amount": 12}, user=alice.user)
    assert carry_on(execution).output == 12


def test_a_signal_of_another_name_wakes_nothing_for_good(alice):
    execution = run(alice, make_workflow(alice, **PAID))
    send_signal(execution, name="paid-5", data=None, user=None)
    assert carry_on(execution).status == "waiting"
    assert not executions.run_due()


def test_a_signal_that_comes_early_is_kept_a_day_and_consumed_once(alice):
    twice = graph(
        node("first", "wait", signal="go"), node("second", "wait", signal="go")
    )
    execution = start(alice, make_workflow(alice, **twice))
    send_signal(execution, name="go", data=1, user=None)
    assert carry_on(execution).status == "waiting"  # the second waits for another one
    assert Signal.unscoped.exclude(consumed_at=None).count() == 1
    send_signal(execution, name="go", data=2, user=None)
    assert carry_on(execution).output == 2
    late = start(alice, make_workflow(alice, **PAID))
    old = send_signal(late, name="paid-4", data={}, user=None)
    Signal.unscoped.filter(pk=old.pk).update(
        created_at=timezone.now() - timedelta(hours=25)
    )
    assert carry_on(late).status == "waiting"


def test_who_waits_too_long_goes_on_by_timeout(alice):
    timed = graph(
        node("paid", "wait", signal="paid", timeout_seconds=60),
        node("thanks", "output", value="thanks"),
        node("remind", "output", value="remind {{ input.n }}"),
        edges=[edge("paid", "thanks"), edge("paid", "remind", "timeout")],
    )
    execution = run(alice, make_workflow(alice, **timed))
    assert execution.next_attempt_at is not None
    pass_time(execution, 61)
    assert carry_on(execution).output == "remind 4"


def test_a_signal_that_comes_while_it_comes_to_rest_is_not_missed(alice, monkeypatch):
    """Between reading what has come and being written down as waiting."""
    execution = start(alice, make_workflow(alice, **PAID))
    collected = executions.journal.what_has_come

    def late(found):
        come = collected(found)
        if found and not Signal.unscoped.exists():
            send_signal(execution, name="paid-4", data={"amount": 7}, user=None)
        return come

    monkeypatch.setattr(executions.journal, "what_has_come", late)
    assert carry_on(execution).output == 7


def test_who_is_over_takes_no_signal(alice):
    execution = run(alice, make_workflow(alice, **graph(node("end", "output"))))
    with pytest.raises(ConflictError, match="completed already"):
        send_signal(execution, name="x", data=None, user=None)


def test_a_signal_by_the_api(alice, bob, charlie, api):
    execution = run(alice, make_workflow(alice, **PAID))
    path = f"/v1/executions/{execution.pk}/signals"
    body = {"name": "paid-4", "data": {"amount": 3}}
    assert api(charlie).post(path, body, format="json").status_code == 404
    answer = api(bob).post(path, body, format="json")
    assert answer.status_code == 202
    assert answer.json()["data"]["id"].startswith("sig_")
    assert carry_on(execution).output == 3
    assert api(bob).post(path, {}, format="json").status_code == 400


# --- approval ---


def asking(**config):
    return graph(
        node("ask", "approval", title="Refund {{ input.n }}?", **config),
        node("yes", "output", value="yes {{ input.data }}"),
        node("no", "output", value="no"),
        node("late", "output", value="late"),
        edges=[
            edge("ask", "yes", "approved"),
            edge("ask", "no", "rejected"),
            edge("ask", "late", "timeout"),
        ],
    )


def asked(person, **config):
    execution = run(person, make_workflow(person, **asking(**config)))
    assert execution.status == "waiting", execution.error
    return execution, Approval.unscoped.get(execution=execution)


def test_who_approves_lets_it_go_on(alice, bob):
    execution, approval = asked(alice)
    assert approval.title == "Refund 4?"
    approvals.decide(approval, member=bob.membership, approves=True)
    assert carry_on(execution).output == "yes {}"
    step = execution.steps.get(node_id="ask")
    assert step.output["decisions"][0]["user_id"] == bob.user.pk


def test_who_rejects_ends_it(alice, bob):
    execution, approval = asked(alice, needed=2)
    approvals.decide(approval, member=bob.membership, approves=False, comment="No.")
    assert carry_on(execution).output == "no"


def test_so_many_have_to_approve_and_each_counts_once(alice, bob):
    execution, approval = asked(alice, needed=2)
    dora = make_person(company=alice.company, role=Role.MEMBER)
    approvals.decide(approval, member=bob.membership, approves=True)
    with pytest.raises(ConflictError, match="answered this already"):
        approvals.decide(approval, member=bob.membership, approves=True)
    assert carry_on(execution).status == "waiting"
    approvals.decide(approval, member=dora.membership, approves=True)
    assert carry_on(execution).status == "completed"
    with pytest.raises(ConflictError, match="approved already"):
        approvals.decide(approval, member=alice.membership, approves=True)


def test_only_who_is_asked_may_answer_and_never_the_starter(alice, bob, vera):
    _, approval = asked(alice)
    for person in (alice, vera):  # who started it; a viewer, whom nobody asked
        with pytest.raises(NotAskedError):
            approvals.decide(approval, member=person.membership, approves=True)
    _, approval = asked(alice, people=[vera.user.email.upper()], roles=["admin"])
    with pytest.raises(NotAskedError):
        approvals.decide(approval, member=bob.membership, approves=True)
    approvals.decide(approval, member=vera.membership, approves=True)
    _, approval = asked(alice, excludes_starter=False)
    approvals.decide(approval, member=alice.membership, approves=True)


def test_what_is_filled_in_is_checked_and_handed_on(alice, bob):
    fields = [
        {"name": "amount", "type": "number", "required": True},
        {"name": "kind", "type": "choice", "options": ["cash", "voucher"]},
        {"name": "day", "type": "date"},
    ]
    execution, approval = asked(alice, fields=fields)
    with pytest.raises(InvalidError) as refused:
        approvals.decide(
            approval,
            member=bob.membership,
            approves=True,
            data={"kind": "gold", "day": "soon", "x": 1},
        )
    assert sorted(refused.value.details) == [
        "data.amount",
        "data.day",
        "data.kind",
        "data.x",
    ]
    data = {"amount": 5, "kind": "cash"}
    approvals.decide(approval, member=bob.membership, approves=True, data=data)
    assert "'amount': 5" in carry_on(execution).output or '"amount"' in execution.output


def test_nobody_answers_after_the_time_is_up(alice, bob):
    execution, approval = asked(alice, expires_in_seconds=60)
    pass_time(execution, 62)
    with pytest.raises(ConflictError, match="expired already"):
        approvals.decide(approval, member=bob.membership, approves=True)
    assert carry_on(execution).output == "late"
    approval.refresh_from_db()
    assert approval.status == "expired"


def test_an_approval_ends_with_its_execution(alice):
    execution, approval = asked(alice)
    executions.cancel_execution(execution)
    approval.refresh_from_db()
    assert approval.status == "cancelled"


def test_who_may_answer_gets_a_mail_whose_link_answers_once(alice, bob):
    execution, _ = asked(alice, message="<b>Look</b>")
    written = Mail.objects.get(template="approval")
    assert written.to == bob.user.email  # not who started it
    mail.send_due()
    (message,) = outbox.outbox
    assert "Refund 4?" in message.subject
    link = next(line for line in message.body.splitlines() if line.startswith("http"))
    page = link[link.index("/approval") :]
    browser = Client()
    first = browser.get(page)
    assert "&lt;b&gt;Look" in first.content.decode()
    token = page.partition("token=")[2]
    form = {"token": token, "decision": "approve", "comment": "Fine."}
    assert "Thank you" in browser.post("/approval", form).content.decode()
    assert carry_on(execution).output == "yes {}"
    again = browser.post("/approval", form)
    assert again.status_code == 400
    assert "no good" in again.content.decode()


def test_a_decision_by_the_api(alice, bob, charlie, api):
    execution, approval = asked(alice)
    path = f"/v1/approvals/{approval.pk}"
    theirs, his = api(charlie), api(bob)
    assert theirs.get(path).status_code == 404
    assert theirs.post(f"{path}/approve", {}, format="json").status_code == 404
    own = api(alice).post(f"{path}/approve", {}, format="json")
    assert (own.status_code, own.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert his.get("/v1/approvals?status=pending").json()["meta"]["total"] == 1
    answer = his.post(f"{path}/reject", {"comment": "No."}, format="json")
    assert answer.json()["data"]["status"] == "rejected"
    assert answer.json()["data"]["decisions"][0]["comment"] == "No."
    assert carry_on(execution).output == "no"


def test_a_list_of_approvals_costs_the_same_however_long(
    alice, bob, api, django_assert_max_num_queries
):
    for _ in range(3):
        _, approval = asked(alice)
        approvals.decide(approval, member=bob.membership, approves=True)
    hers = api(alice)
    with django_assert_max_num_queries(6):
        answer = hers.get("/v1/approvals")
    assert len(answer.json()["data"]) == 3


# --- subworkflow ---

DOUBLE = graph(node("double", "transform", expression="{{ input.n * 2 }}"))


def calling(workflow, **config):
    return graph(
        node("call", "subworkflow", workflow=workflow.pk, **config),
        node("end", "output", value="{{ input }}"),
    )


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_subworkflow_is_an_execution_of_its_own_whose_output_goes_on(alice):
    inner = make_workflow(alice, **DOUBLE)
    execution = run(alice, make_workflow(alice, **calling(inner)))
    assert (execution.status, execution.output) == ("completed", 8)
    child = execution.children.get()
    assert (child.workflow, child.depth, child.status) == (inner, 1, "completed")
    inner.refresh_from_db()
    assert inner.usage_count == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_subworkflow_that_fails_fails_its_step(alice):
    inner = make_workflow(alice, **graph(node("x", "transform", expression="{{ input.no }}")))  # fmt: skip
    execution = run(alice, make_workflow(alice, **calling(inner)))
    assert (execution.status, execution.error["code"]) == (
        "failed",
        "subworkflow_failed",
    )
    assert execution.children.get().pk in execution.error["message"]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_map_over_subworkflows(alice):
    inner = make_workflow(alice, **DOUBLE)
    outer = make_workflow(
        alice,
        **graph(
            node("each", "map", items="{{ input.items }}", at_once=3),
            node("call", "subworkflow", workflow=inner.pk),
            edges=[edge("each", "call", "item")],
        ),
    )
    items = [{"n": n} for n in range(7)]
    execution = run(alice, outer, input={"items": items})
    assert execution.output == [2 * n for n in range(7)]
    assert execution.children.count() == 7


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_who_calls_itself_stops_at_the_eighth(alice):
    outer = make_workflow(alice, **DOUBLE)
    executions_before = Execution.unscoped.count()
    outer = update_workflow(outer, user=None, status="published", **calling(outer))
    execution = run(alice, outer)
    assert execution.status == "failed"
    assert Execution.unscoped.count() - executions_before == 9
    deepest = Execution.unscoped.get(depth=8)
    assert deepest.error["code"] == "too_deep"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_cancelling_it_stops_what_it_waits_for(alice):
    inner = make_workflow(alice, **PAID)
    execution = run(alice, make_workflow(alice, **calling(inner)))
    assert execution.status == "waiting"
    executions.cancel_execution(execution)
    drain()
    assert execution.children.get().status == "cancelled"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_one_that_is_not_waited_for_goes_its_own_way(alice):
    inner = make_workflow(alice, **PAID)
    execution = run(alice, make_workflow(alice, **calling(inner, wait=False)))
    child = execution.children.get()
    assert execution.output == {"execution_id": child.pk}
    assert child.status == "waiting"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_another_companys_workflow_is_not_found(alice, charlie):
    theirs = make_workflow(charlie, **DOUBLE)
    with pytest.raises(InvalidError, match="There is no workflow"):
        make_workflow(alice, **calling(theirs))
    named = graph(node("call", "subworkflow", workflow="{{ input.it }}"))
    execution = run(alice, make_workflow(alice, **named), input={"it": theirs.pk})
    assert "There is no workflow" in execution.error["message"]
    assert not Execution.unscoped.filter(workflow=theirs).exists()


def signed_in(person):
    person.user.set_password(PASSWORD)
    person.user.save()
    browser = Client()
    form = {"email": person.user.email, "password": PASSWORD}
    assert browser.post("/login", form).status_code == 302
    return browser


def test_the_pages_list_what_waits_and_take_the_answer(alice, bob):
    fields = [{"name": "amount", "type": "number", "required": True}]
    execution, approval = asked(alice, fields=fields)
    assert Client().get("/approvals").status_code == 302
    browser = signed_in(bob)
    assert "Refund 4?" in browser.get("/approvals").content.decode()
    page = f"/approvals/{approval.pk}"
    unfilled = browser.post(page, {"decision": "approve"})
    assert (unfilled.status_code, "required" in unfilled.content.decode()) == (
        422,
        True,
    )
    answer = browser.post(page, {"decision": "approve", "field_amount": "5"})
    assert (answer.status_code, answer.url) == (302, "/approvals")
    assert carry_on(execution).status == "completed"
    assert "What you answered" in browser.get("/approvals").content.decode()
    assert "nothing left to decide" in browser.get(page).content.decode()


def test_another_companys_question_has_no_page(alice, charlie):
    _, approval = asked(alice)
    browser = signed_in(charlie)
    assert browser.get(f"/approvals/{approval.pk}").status_code == 404
