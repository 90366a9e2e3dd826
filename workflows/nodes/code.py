"""Runs a program of the customer's."""

import ast
import asyncio
import json
import re
from typing import Any

from craft.sandbox import MB, Limits
from workflows.nodes import monty, outside
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.formats import parse_json
from workflows.nodes.resolved import choice, number

MAX_CODE = 50_000
MAX_ANSWER = 4_000_000
MAX_LINES = 20
GRACE_SECONDS = 0.5
OVERHEAD_MB = 64
JAVASCRIPT_MAIN = re.compile(r"\bmain\b")


class Code(Node):
    type = "code"
    family = "processing"
    summary = "Runs Python or JavaScript: what its function `main(input, variables)` gives is the output. It has no files, no network and no packages, and ends at its limits."
    config_schema = {
        "type": "object",
        "properties": {
            "language": {
                "enum": ["python", "javascript"],
                "default": "python",
                "description": "python is Monty, a subset of Python 3 with `json`, `re`, `math`, `datetime`, `random` and other small modules. javascript is QuickJS.",
            },
            "code": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_CODE,
                "x-literal": True,
                "description": "The program, with a function `main(input, variables)` whose result is JSON. Expressions in it are not evaluated: pass values in `input`.",
            },
            "input": {
                "description": "What main is given first; without it, the node's input."
            },
            "max_seconds": {
                "type": "number",
                "minimum": 0.1,
                "maximum": 30,
                "default": 5,
                "description": "How long it may run.",
            },
            "max_memory_mb": {
                "type": "integer",
                "minimum": 8,
                "maximum": 256,
                "default": 64,
                "description": "How much memory it may use.",
            },
        },
        "required": ["code"],
        "additionalProperties": False,
    }
    raw_fields = frozenset({"code"})
    example = {
        "config": {
            "code": "def main(input, variables):\n    prices = [line['price'] for line in input['lines']]\n    return {'highest': max(prices)}\n"
        },
        "input": {"lines": [{"price": 3}, {"price": 9}]},
        "output": {"highest": 9},
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        language = config.get("language", "python")
        if language == "python" and (fault := _python_fault(config["code"])):
            return {"code": fault}
        if not JAVASCRIPT_MAIN.search(config["code"]):
            return {"code": "It needs a function main(input, variables)."}
        return {}

    def suspends(self, config: dict[str, Any]) -> bool:
        return True

    async def run(self, call: Call) -> Output:
        given = {
            "input": call.config.get("input", call.input),
            "variables": call.evaluate("{{ variables | default({}) }}"),
        }
        seconds = number(call, "max_seconds", at_least=0.1, at_most=30, default=5)
        memory_mb = int(
            number(call, "max_memory_mb", at_least=8, at_most=256, default=64)
        )
        language = choice(call, "language", ("python", "javascript"), "python")
        if language == "javascript":
            value, lines = await _javascript(call, given, seconds, memory_mb)
        else:
            value, lines = await _python(call, given, seconds, memory_mb)
        for line in lines[:MAX_LINES]:
            call.log(line)
        return Output(value)


def _python_fault(code: str) -> str:
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return f"The code can't be read: {error.msg} (line {error.lineno})."
    except (ValueError, MemoryError, RecursionError):
        return "The code can't be read."
    if any(
        isinstance(part, ast.FunctionDef) and part.name == "main" for part in tree.body
    ):
        return ""
    return "It needs a function: def main(input, variables)."


async def _python(
    call: Call, given: dict[str, Any], seconds: float, memory_mb: int
) -> tuple[Any, list[str]]:
    answer, printed = await asyncio.to_thread(
        monty.run, call.config["code"], given, seconds=seconds, memory_mb=memory_mb
    )
    if len(answer) > MAX_ANSWER:
        raise NodeError(
            f"It answers more than {MAX_ANSWER:,} characters.", code="over_limit"
        )
    try:
        return parse_json(answer), printed[:100_000].splitlines()
    except NodeError as error:
        raise NodeError(
            f"main gave what JSON does not know: {error.message}", code="code_failed"
        ) from None


async def _javascript(
    call: Call, given: dict[str, Any], seconds: float, memory_mb: int
) -> tuple[Any, list[str]]:
    limits = Limits(
        seconds=seconds + GRACE_SECONDS,
        memory_bytes=(memory_mb + OVERHEAD_MB) * MB,
        file_bytes=0,
        open_files=32,
    )
    answer = await outside.do(
        "run_javascript",
        limits=limits,
        code="code_failed",
        program=call.config["code"],
        given=json.dumps(given),
        seconds=seconds,
        memory_bytes=memory_mb * MB,
    )
    if "over_limit" in answer:
        raise NodeError(answer["over_limit"], code="over_limit")
    return answer["value"], answer["lines"]
