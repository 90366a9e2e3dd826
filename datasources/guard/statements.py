"""Judges a statement.

It is parsed by sqlglot, its tree is held against allow-lists (`dialects.py`), each table is tied to its own schema, a LIMIT is put on it, and what is run is
the tree printed again, without comments: never the text that came. `execution.py` then has DuckDB tell how *it* reads the printed text, and holds that
against the same lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from datasources.guard import MAX_LENGTH, QueryError
from datasources.guard.dialects import DIALECTS, NODES, Dialect
from datasources.guard.parameters import NOT_GIVEN, BindingError, bind

SHOWN_TABLES = 20

NOT_A_QUERY = "Only a query can be run: one SELECT (or WITH, UNION, VALUES, FROM …)."
REASONS: dict[type[exp.Expr], str] = {
    exp.Lock: "A query may not lock rows (FOR UPDATE, FOR SHARE).",
    exp.Into: "A query may not write (INTO).",
    exp.Placeholder: NOT_GIVEN,
    exp.Parameter: NOT_GIVEN,
    exp.Command: NOT_A_QUERY,
}


@dataclass(frozen=True)
class CheckedQuery:
    """What may be run, and the tables that it reads, by their own names."""

    sql: str
    tables: tuple[str, ...]


def check(
    sql: str,
    *,
    dialect: str,
    tables: Iterable[str],
    row_limit: int,
    parameters: Mapping[str, Any] | None = None,
) -> CheckedQuery:
    """Judge a statement and print what may be run in its stead, which answers one row more than `row_limit` where there are more."""
    rules = DIALECTS[dialect]
    tree = _parse(sql, rules)
    try:
        if parameters is not None:
            tree = _bound(tree, parameters)
        own = {name.lower(): name for name in tables}
        used = _bind_tables(tree, own, rules)
        for node in tree.walk():
            _check_node(node, rules)
        limited = _limit(tree, row_limit + 1)
        return CheckedQuery(
            limited.sql(dialect=rules.name, comments=False, identify=True), tuple(used)
        )
    except (SqlglotError, RecursionError) as error:
        raise QueryError(f"The query could not be read: {_first_line(error)}") from None


def _parse(sql: str, rules: Dialect) -> exp.Expr:
    if len(sql) > MAX_LENGTH:
        raise QueryError(f"The query is longer than {MAX_LENGTH:,} characters.")
    try:
        statements = [
            statement
            for statement in sqlglot.parse(sql, dialect=rules.name)
            if statement is not None
        ]
    except RecursionError:
        raise QueryError("The query is nested too deep.") from None
    except SqlglotError as error:
        raise QueryError(f"The query could not be read: {_first_line(error)}") from None
    statements = [
        statement
        for statement in statements
        if not isinstance(statement, exp.Semicolon)
    ]
    if not statements:
        raise QueryError(f"The query is empty. {NOT_A_QUERY}")
    if len(statements) > 1:
        raise QueryError("Only one statement at a time can be run.")
    if not isinstance(
        statements[0], exp.Select | exp.SetOperation | exp.Subquery | exp.Values
    ):
        raise QueryError(f"{NOT_A_QUERY} {_kind_of(statements[0])} is something else.")
    return statements[0]


def _bound(tree: exp.Expr, parameters: Mapping[str, Any]) -> exp.Expr:
    try:
        return bind(tree, parameters)
    except BindingError as error:
        raise QueryError(str(error), details={"parameters": str(error)}) from None


# --- Tables ---


def _bind_tables(tree: exp.Expr, own: dict[str, str], rules: Dialect) -> list[str]:
    """Write every table out in full, so that its name can mean nothing but the source's own table; return those that are used."""
    used: dict[str, None] = {}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            _check_table_function(table, rules)
        elif not _names_cte(table):
            name = own.get(table.name.lower())
            if name is None or not _is_in_schema(table, rules):
                _refuse_table(table, own)
            used[name] = None
            table.set("this", exp.to_identifier(name, quoted=True))
            for part, value in zip(("catalog", "db"), rules.schema, strict=True):
                table.set(part, exp.to_identifier(value, quoted=True))
    return list(used)


def _names_cte(table: exp.Table) -> bool:
    """Whether the name is that of a common table expression that is in scope here."""
    if table.args.get("db") or table.args.get("catalog"):
        return False
    name = table.name.lower()
    below: exp.Expr = table
    node = table.parent
    while node is not None:
        if isinstance(node, exp.With):
            before = [
                cte.alias.lower()
                for cte in node.expressions[: node.expressions.index(below)]
            ]
            if name in before or (
                node.args.get("recursive") and name == below.alias.lower()
            ):
                return True
        elif _defines(node.args.get("with_"), name) and node.args["with_"] is not below:
            return True
        below, node = node, node.parent
    return False


def _defines(clause: exp.With | None, name: str) -> bool:
    return clause is not None and any(
        cte.alias.lower() == name for cte in clause.expressions
    )


def _is_in_schema(table: exp.Table, rules: Dialect) -> bool:
    catalog, schema = rules.schema
    return table.db.lower() in {"", schema} and table.catalog.lower() in {"", catalog}


def _check_table_function(table: exp.Table, rules: Dialect) -> None:
    function = table.this
    names = (
        {function.name.lower()}
        if isinstance(function, exp.Anonymous)
        else {name.lower() for name in function.sql_names()}
        if isinstance(function, exp.Func)
        else set()
    )
    if not names & rules.table_functions:
        raise QueryError(
            f"{_name_of(function)} can't be read from. What can: the source's tables, {', '.join(sorted(rules.table_functions))}."
        )


def _refuse_table(table: exp.Table, own: dict[str, str]) -> NoReturn:
    shown = ", ".join(sorted(own.values())[:SHOWN_TABLES])
    more = f" and {len(own) - SHOWN_TABLES} more" if len(own) > SHOWN_TABLES else ""
    wanted = ".".join(part.name for part in table.parts)
    raise QueryError(
        f"There is no table {wanted!r} in this source. Its tables: {shown or 'none'}{more}."
    )


# --- Parts ---


def _check_node(node: exp.Expr, rules: Dialect) -> None:
    kind = type(node)
    if isinstance(node, exp.Anonymous):
        if not isinstance(node.this, str) or node.name.lower() not in rules.functions:
            raise QueryError(f"The function {_name_of(node)} may not be used.")
    elif isinstance(node, exp.Func):
        if kind not in rules.classes:
            raise QueryError(f"The function {_name_of(node)} may not be used.")
    elif kind not in NODES:
        raise QueryError(
            REASONS.get(kind, f"{_kind_of(node)} may not be used in a query.")
        )


def _limit(tree: exp.Expr, most: int) -> exp.Expr:
    """The same query, answering at most so many rows."""
    limit = tree.args.get("limit")
    if limit is None and not isinstance(tree, exp.Values):
        tree.set("limit", exp.Limit(expression=exp.Literal.number(most)))
        return tree
    if isinstance(limit, exp.Limit) and _is_small_number(limit, most):
        return tree
    inner = (
        tree.subquery("answer", copy=False)
        if isinstance(tree, exp.Query)
        else exp.Subquery(
            this=tree, alias=exp.TableAlias(this=exp.to_identifier("answer"))
        )
    )
    return exp.select("*").from_(inner, copy=False).limit(most, copy=False)


def _is_small_number(limit: exp.Limit, most: int) -> bool:
    wanted = limit.expression
    return (
        isinstance(wanted, exp.Literal)
        and wanted.is_int
        and int(wanted.this) <= most
        and not limit.args.get("limit_options")
    )


def _name_of(function: exp.Expr) -> str:
    if isinstance(function, exp.Anonymous):
        return f"{function.name}()"
    return (
        f"{function.sql_name().lower()}()"
        if isinstance(function, exp.Func)
        else _kind_of(function)
    )


def _kind_of(node: exp.Expr) -> str:
    return (
        node.key.upper()
        if not isinstance(node, exp.Command)
        else str(node.this).upper()
    )


def _first_line(error: Exception) -> str:
    faults = getattr(error, "errors", None)
    if not faults:
        return str(error).partition("\n")[0] or "it is nested too deep."
    fault = faults[0]
    return f"{fault['description']} (line {fault['line']}, column {fault['col']})"
