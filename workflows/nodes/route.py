"""Chooses the way on."""

from collections import Counter
from typing import Any

from workflows.nodes.base import Call, Node, Output
from workflows.nodes.condition import COMBINE, CONDITIONS
from workflows.nodes.resolved import choice, is_expression

NO_EXPRESSION = (
    "Write this out: the node's handles follow from it, so it can't be an expression."
)
CASE_NAME: dict[str, Any] = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_-]{1,64}$",
    "description": "An edge leaves for this case from the handle `case:<name>`.",
}


def name_faults(cases: list[dict[str, Any]]) -> dict[str, str]:
    counts = Counter(case["name"] for case in cases)
    faults = {}
    for index, case in enumerate(cases):
        if is_expression(case["name"]):
            faults[f"cases.{index}.name"] = NO_EXPRESSION
        elif counts[case["name"]] > 1:
            faults[f"cases.{index}.name"] = (
                f"There is another case named {case['name']}."
            )
    return faults


class Route(Node):
    type = "route"
    family = "conditional"
    summary = 'Goes on if its conditions hold, by `else` if not, or picks one of several named cases. Where they don\'t hold and nothing leaves by `else`, the output is `{"matched": false}`.'
    config_schema = {
        "type": "object",
        "properties": {
            "conditions": CONDITIONS,
            "combine": COMBINE,
            "cases": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "description": "Instead of conditions: named ways on, tried in this order. If none holds, the input leaves by `default`.",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": CASE_NAME,
                        "conditions": CONDITIONS,
                        "combine": COMBINE,
                    },
                    "required": ["name", "conditions"],
                    "additionalProperties": False,
                },
            },
            "mode": {
                "enum": ["first", "all"],
                "default": "first",
                "description": "Whether the first case that holds is taken, or all that do.",
            },
        },
        "additionalProperties": False,
    }
    raw_fields = frozenset({"conditions", "cases"})
    handles = ("main", "else")
    example = {
        "config": {"conditions": [{"field": "priority", "op": "gte", "value": 8}]},
        "input": {"priority": 9},
        "output": {"priority": 9},
    }

    def handles_for(self, config: dict[str, Any]) -> tuple[str, ...]:
        if "cases" not in config:
            return self.handles
        return (*(f"case:{case['name']}" for case in config["cases"]), "default")

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        if ("cases" in config) == ("conditions" in config):
            return {"conditions": "A route takes either `conditions` or `cases`."}
        if "cases" not in config and "mode" in config:
            return {"mode": "`mode` goes with `cases`."}
        if "cases" in config and "combine" in config:
            return {"combine": "Each of the `cases` has a `combine` of its own."}
        cases = config.get("cases", [])
        if is_expression(cases):
            return {"cases": NO_EXPRESSION}
        faults = {
            f"cases.{index}": NO_EXPRESSION
            for index, case in enumerate(cases)
            if is_expression(case) or is_expression(case.get("combine"))
        }
        return faults or name_faults(cases)

    async def run(self, call: Call) -> Output:
        if "cases" in call.config:
            return Output(call.input, self._cases_taken(call))
        combine = choice(call, "combine", ("all", "any"), "all")
        if call.matches(call.config["conditions"], combine):
            return Output(call.input)
        nothing_follows = "else" not in call.leaving
        return Output({"matched": False} if nothing_follows else call.input, ("else",))

    def _cases_taken(self, call: Call) -> tuple[str, ...]:
        taken = []
        only_first = choice(call, "mode", ("first", "all"), "first") == "first"
        for case in call.config["cases"]:
            if call.matches(case["conditions"], case.get("combine", "all")):
                taken.append(f"case:{case['name']}")
                if only_first:
                    break
        return tuple(taken) or ("default",)
