"""What the demo triggers: a pipeline in the shape of the API's first document, which is run as its calls come in, and a graph whose branches run side by
side and whose news goes out, which a worker carries."""

from typing import Any

from craft.demo import flights

LATE_MINUTES = 15  # from here on the authorities count a departure as late

PIPELINE: dict[str, Any] = {
    "name": "late-departures",
    "trigger": "webhook",
    "steps": [
        {"type": "transform", "model": "craftai-1", "config": {"format": "json"}},
        {
            "type": "route",
            "conditions": [{"field": "dep_delay", "op": "gte", "value": LATE_MINUTES}],
        },
    ],
}


def make_graph() -> dict[str, Any]:
    branches = {
        "punctuality": {
            "delay_minutes": "{{ input.dep_delay }}",
            "verdict": "{{ 'cancelled' if input.dep_delay is none else 'late' if input.dep_delay >= variables.late else 'on time' }}",
        },
        "airline": {
            "airline": "{{ variables.airlines[input.carrier] | default(input.carrier) }}"
        },
        "route": {
            "route": "{{ input.origin }}-{{ input.dest }}",
            "kilometres": "{{ round(input.distance * 1.609344) }}",
        },
    }
    flight = {"flight": "{{ input.carrier }}{{ input.flight }}"}
    return {
        "name": "departure-report",
        "status": "published",
        "description": "Looks at one flight from three sides at once and joins what they found.",
        "variables": {"late": LATE_MINUTES, "airlines": flights.airlines()},
        "nodes": [
            {
                "id": "departure",
                "type": "input",
                "config": {
                    "schema": {
                        "type": "object",
                        "required": ["carrier", "origin", "dest"],
                    }
                },
            },
            *(
                {
                    "id": name,
                    "type": "transform",
                    "config": {"expression": flight | found},
                }
                for name, found in branches.items()
            ),
            {
                "id": "together",
                "type": "merge",
                "config": {"mode": "by_key", "key": "flight"},
            },
            {"id": "report", "type": "output", "config": {"value": "{{ input[0] }}"}},
            {
                "id": "tell",
                "type": "emit",
                "config": {
                    "event": "custom.departure_reported",
                    "data": {"flight": "{{ input[0].flight }}"},
                },
            },
        ],
        "edges": [
            *({"source": "departure", "target": name} for name in branches),
            *({"source": name, "target": "together"} for name in branches),
            {"source": "together", "target": "report"},
            {"source": "together", "target": "tell"},
        ],
    }


def _late(executions: list[Any]) -> str:
    late = [
        execution
        for execution in executions
        if execution["output"] != {"matched": False}
    ]
    return f"{len(late)} of {len(executions)} flights left {LATE_MINUTES} minutes late or more"


def _reported(executions: list[Any]) -> str:
    late = [
        execution["output"]
        for execution in executions
        if execution["output"]["verdict"] == "late"
    ]
    worst = max(late, key=lambda report: report["delay_minutes"], default=None)
    if worst is None:
        return "no flight left late"
    return f"the latest was {worst['airline']} {worst['flight']}, {worst['route']}, {worst['delay_minutes']} minutes"


SHAPES = {
    "late-departures": "transform, route; run as its calls come in",
    "departure-report": "three branches at once, merged and told; by the worker",
}
FINDINGS = {"late-departures": _late, "departure-report": _reported}
