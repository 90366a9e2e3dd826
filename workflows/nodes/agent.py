"""Asks an agent of the company."""

from __future__ import annotations

import json
from datetime import timedelta

from django.utils import timezone

from accounts.models import Company
from agents.models import Agent as AgentRow
from agents.models import AgentExecution
from agents.runner import Breaker
from agents.services import execute_agent
from craft.exceptions import DomainError, InProgressError
from craft.leases import Status
from workflows.models import Execution
from workflows.nodes.asking import MAX_DATA, failure
from workflows.nodes.base import Call, Node, NodeError, Outcome, Output, Usage, Waiting
from workflows.nodes.resolved import choice, text
from workflows.nodes.threads import in_thread

LOOK_AGAIN = timedelta(seconds=2)


class Agent(Node):
    type = "agent"
    family = "ai"
    summary = "Asks one of the company's agents, which answers from its data sources as it would by the API. The execution is kept with the agent's others."
    effect = "effect"
    refers_to = {"agent_id": "agents.Agent"}
    config_schema = {
        "type": "object",
        "properties": {
            "agent_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "description": "An agent of the company. It must be active when it is asked.",
            },
            "input": {
                "description": "The question; without it, the node's input. What is no text is handed over as JSON."
            },
            "output_format": {
                "enum": ["text", "json"],
                "default": "text",
                "description": "With json, `output` holds the value that the agent answered with.",
            },
        },
        "required": ["agent_id"],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "agent_id": "agent_0123456789abcdefghijklmn",
            "input": "{{ input.question }}",
        },
        "input": {"question": "How many orders are there?"},
        "output": {
            "response": "There are 2 orders.",
            "output": None,
            "citations": [
                {
                    "source_id": "ds_0123456789abcdefghijklmn",
                    "source_name": "orders",
                    "table": "orders",
                    "tables": ["orders"],
                    "sql": 'SELECT count(*) AS "orders" FROM "orders"',
                    "rows": [{"orders": 2}],
                    "row_count": 1,
                    "truncated": False,
                }
            ],
            "data_sources_queried": ["ds_0123456789abcdefghijklmn"],
            "execution_id": "exec_0123456789abcdefghijklmn",
            "usage": {
                "model": "craftai-1",
                "input_tokens": 216,
                "output_tokens": 29,
                "cost": 0.0004,
            },
        },
    }

    async def run(self, call: Call) -> Outcome:
        question = call.config.get("input", call.input)
        if not isinstance(question, str):
            question = json.dumps(question, ensure_ascii=False)
        if not question.strip() or len(question) > MAX_DATA:
            raise NodeError(
                f"An agent is asked a text of 1 to {MAX_DATA:,} characters; this one has {len(question):,}.",
                code="invalid_input",
            )
        agent_id = text(call, "agent_id")
        form = choice(call, "output_format", ("text", "json"), "text")
        breaker = Breaker()
        try:
            execution = await in_thread(
                lambda: _asked(call, agent_id, question, form, breaker),
                stop=breaker.trip,
            )
        except InProgressError:
            # A process was lost while it asked: that is known of the agent's execution soon, too.
            return Waiting(timezone.now() + LOOK_AGAIN)
        cost = execution.cost_micros
        output = {
            "response": execution.response,
            "output": execution.output,
            "citations": execution.citations,
            "data_sources_queried": execution.data_sources_queried,
            "execution_id": execution.pk,
            "usage": {
                "model": execution.model,
                "input_tokens": execution.input_tokens,
                "output_tokens": execution.output_tokens,
                "cost": None if cost is None else cost / 1_000_000,
            },
        }
        return Output(output, usage=_usage_of(execution))


def _asked(
    call: Call, agent_id: str, question: str, form: str, breaker: Breaker
) -> AgentExecution:
    """Each attempt has a key of its own, since a failed one stays failed; what an earlier one brought is not asked for again."""
    company = Company.objects.get(pk=call.company_id)
    agent = AgentRow.objects.for_company(company).filter(pk=agent_id).first()
    if agent is None:
        raise NodeError(f"There is no agent '{agent_id[:64]}'.", code="not_found")
    started = Execution.objects.for_company(company).filter(pk=call.execution_id)
    starter = started.select_related("created_by").first()
    own = AgentExecution.objects.for_company(company)
    before = own.filter(
        idempotency_key__in=[_key(call, n) for n in range(1, call.attempt + 1)]
    )
    for execution in before:
        if execution.status == Status.COMPLETED:
            return execution
        if execution.status == Status.RUNNING:
            raise InProgressError("The agent is still at work on this.")
    key = _key(call, call.attempt)
    try:
        return execute_agent(
            agent=agent,
            company=company,
            user=starter.created_by if starter else None,
            input=question,
            output_format=form,
            idempotency_key=key,
            breaker=breaker,
        )
    except InProgressError:
        raise
    except DomainError as error:
        failed = own.filter(idempotency_key=key).first()
        raise failure(error, _usage_of(failed) if failed else None) from None


def _key(call: Call, attempt: int) -> str:
    return call.idempotency_key + (f"#{attempt}" if attempt > 1 else "")


def _usage_of(execution: AgentExecution) -> Usage | None:
    usage = {
        "input_tokens": execution.input_tokens,
        "output_tokens": execution.output_tokens,
        "cost_micros": execution.cost_micros,
    }
    return {"model": execution.model, **usage} if any(usage.values()) else None
