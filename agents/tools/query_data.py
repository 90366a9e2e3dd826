from __future__ import annotations

from typing import Any

from agents.tools.base import AgentTool, ToolContext
from datasources.services import QueryResult, run_query

ROWS_TO_MODEL = 200
ROWS_IN_CITATION = 20


class QueryData(AgentTool):
    name = "query_data"
    description = (
        "Run one SQL SELECT over the tables of one data source and get its rows. Describe the data first, so that the names of tables and columns "
        "are right. Let SQL count, add up, sort and filter; at most 200 rows come back."
    )
    parameters = {
        "type": "object",
        "properties": {
            "source_id": {
                "type": "string",
                "description": "The data source, by its id.",
            },
            "sql": {
                "type": "string",
                "description": "One SELECT statement.",
                "maxLength": 20_000,
            },
        },
        "required": ["source_id", "sql"],
        "additionalProperties": False,
    }

    def run(self, context: ToolContext, **arguments: Any) -> Any:
        source = context.source(arguments["source_id"])
        sql = arguments["sql"]
        context.note_query(source)
        result = run_query(
            company=context.company, source=source, sql=sql, row_limit=ROWS_TO_MODEL
        )
        context.citations.append(cite(source.pk, source.source_name, sql, result))
        return {
            "columns": [column["name"] for column in result.columns],
            "rows": result.rows,
            "row_count": result.row_count,
            "truncated": result.truncated,
        }


def cite(
    source_id: str, source_name: str, sql: str, result: QueryResult
) -> dict[str, Any]:
    """What an answer rests on: the statement as it ran, and the first rows that it gave."""
    return {
        "source_id": source_id,
        "source_name": source_name,
        "table": result.tables[0] if result.tables else None,
        "tables": result.tables,
        "sql": sql,
        "rows": result.rows[:ROWS_IN_CITATION],
        "row_count": result.row_count,
        "truncated": result.truncated,
    }
