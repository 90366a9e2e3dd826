"""Asks a data source in SQL."""

from __future__ import annotations

import re
from typing import Any

from craft.exceptions import DomainError
from datasources.services import MAX_ROWS, QueryResult, run_query
from workflows.nodes.asking import failure
from workflows.nodes.base import Call, Node, Output
from workflows.nodes.resolved import mapping, number, text
from workflows.nodes.sources import sources_of
from workflows.nodes.threads import in_thread

USUAL_ROWS = 1_000
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class Query(Node):
    type = "query"
    family = "integrations"
    summary = "Runs one SQL query over the tables of a data source, and answers with its rows. Values stand in parameters, so that none of them is ever read as SQL."
    refers_to = {"source_id": "datasources.DataSource"}
    config_schema = {
        "type": "object",
        "properties": {
            "source_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "description": "A data source of the company.",
            },
            "sql": {
                "type": "string",
                "minLength": 1,
                "maxLength": 20_000,
                "x-literal": True,
                "description": "One SELECT, without expressions. A value is named `$customer` here and stands in `parameters`.",
            },
            "parameters": {
                "type": "object",
                "maxProperties": 100,
                "default": {},
                "description": "By name: a text, a number, true, false, null, or a list of these for `IN ($names)`.",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_ROWS,
                "default": USUAL_ROWS,
                "description": "How many rows at the most; `truncated` says whether there were more.",
            },
        },
        "required": ["source_id", "sql"],
        "additionalProperties": False,
    }
    raw_fields = frozenset({"sql"})
    example = {
        "config": {
            "source_id": "ds_0123456789abcdefghijklmn",
            "sql": "SELECT status, count(*) AS orders FROM orders WHERE customer = $customer GROUP BY status ORDER BY 2 DESC",
            "parameters": {"customer": "{{ input.customer }}"},
        },
        "input": {"customer": "Miles O'Brien"},
        "output": {
            "rows": [
                {"status": "completed", "orders": 2},
                {"status": "pending", "orders": 1},
            ],
            "row_count": 2,
            "truncated": False,
            "columns": ["status", "orders"],
        },
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults = {}
        if "{{" in config["sql"]:
            faults["sql"] = (
                "An expression can't stand in a query: name the value, as $customer, and give it in `parameters`."
            )
        parameters = config.get("parameters", {})
        for name in parameters if isinstance(parameters, dict) else ():
            if not NAME.fullmatch(name):
                faults[f"parameters.{name}"] = (
                    "A parameter's name is made of letters, digits and _, and begins with no digit."
                )
        return faults

    def suspends(self, config: dict[str, Any]) -> bool:
        return True

    async def run(self, call: Call) -> Output:
        source_id, sql = text(call, "source_id"), text(call, "sql")
        parameters = mapping(call, "parameters")
        limit = number(call, "limit", at_least=1, at_most=MAX_ROWS, default=USUAL_ROWS)

        def ask() -> QueryResult:
            [source] = sources_of(call.company_id, [source_id])
            return run_query(
                company=call.company_id,
                source=source,
                sql=sql,
                row_limit=int(limit),
                parameters=parameters,
            )

        try:
            result = await in_thread(ask)
        except DomainError as error:
            raise failure(error) from None
        return Output(
            {
                "rows": result.rows,
                "row_count": result.row_count,
                "truncated": result.truncated,
                "columns": [column["name"] for column in result.columns],
            }
        )
