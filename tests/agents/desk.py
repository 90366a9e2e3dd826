"""Tables that questions are asked about, and the two tools that answer about them, played by a DuckDB in this process: the SQL is real and judged by the
real guard, only the sandbox is left out. Expected answers are worked out in plain Python from the same rows.
"""

from __future__ import annotations

import csv
import gzip
import io
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from agents.llm.craftai.answer import Answer
from agents.llm.craftai.dialogue import ToolCall, ToolResult, converse
from agents.tools.describe_data import hits_of, search_statements
from datasources.connectors.files import plain
from datasources.guard.statements import check

DEMO = Path(__file__).parents[2] / "craft" / "demo"
TODAY = date(2025, 4, 2)

ORDERS: list[dict[str, Any]] = [
    dict(
        zip(
            ["order_id", "customer", "product", "amount", "quantity", "status", "created_at", "country"],
            row,
            strict=True,
        )
    )
    for row in [
        (1001, "Alice Smith", "Laptop", 1200.0, 1, "completed", "2025-01-05 10:00:00", "Germany"),
        (1002, "Bob Jones", "Mouse", 25.5, 2, "pending", "2025-01-09 11:30:00", "France"),
        (1003, "Alice Smith", "Keyboard", 80.0, 1, "shipped", "2025-01-20 09:15:00", "Germany"),
        (1004, "Carla Gomez", "Laptop", 1150.0, 1, "cancelled", "2025-02-02 14:00:00", "Spain"),
        (1005, "Dan Brown", "Monitor", 300.0, 2, "completed", "2025-02-10 16:45:00", "France"),
        (1006, "Bob Jones", "Laptop", 1250.0, 1, "completed", "2025-02-14 08:20:00", "France"),
        (1007, "Eve Adams", "Mouse", 20.0, 1, "pending", "2025-03-01 12:00:00", "Germany"),
        (1008, "Alice Smith", "Monitor", 310.0, 1, "pending", "2025-03-03 10:30:00", "Germany"),
        (1009, "Dan Brown", "Keyboard", 75.0, 1, "completed", "2025-03-15 17:00:00", "France"),
        (1010, "Carla Gomez", "Mouse", 27.0, 3, "shipped", "2025-03-20 13:10:00", "Spain"),
    ]
]  # fmt: skip

CUSTOMERS = [
    (1, "Acme Corp", "info@acme.com", "USA", True),
    (2, "Globex", "hi@globex.com", "UK", True),
    (3, "Initech", None, "USA", False),
]
PRODUCTS = [
    (1, "Desk", "Furniture", 200.0, 10, 4.5),
    (2, "Chair", "Furniture", 85.5, 0, 4.1),
    (3, "Lamp", "Lighting", 30.0, 25, 3.9),
    (4, "Bulb", "Lighting", 4.25, 300, 4.8),
]
SHOP_ORDERS = [
    (1, 1, "paid", date(2025, 1, 10)),
    (2, 1, "pending", date(2025, 2, 11)),
    (3, 2, "paid", date(2025, 2, 20)),
    (4, 3, "refunded", date(2025, 3, 5)),
    (5, 1, "paid", date(2025, 3, 9)),
]
ORDER_ITEMS = [
    (1, 1, 1, 2),
    (2, 1, 3, 1),
    (3, 2, 2, 4),
    (4, 3, 4, 10),
    (5, 3, 1, 1),
    (6, 4, 2, 2),
    (7, 5, 3, 3),
    (8, 5, 4, 20),
]
EMPLOYEES = [
    (1, "Ann", "Lee", "Engineering", 70000, date(2019, 3, 1), "Berlin", 34, "Zoe"),
    (2, "Ben", "Kay", "Engineering", 95000, date(2015, 6, 15), "Berlin", 45, "Zoe"),
    (3, "Cat", "Moe", "Sales", 50000, date(2021, 1, 10), "Paris", 29, "Yan"),
    (4, "Dov", "Roe", "Sales", 52000, date(2020, 11, 5), "Paris", 31, "Yan"),
    (5, "Eli", "Poe", "Marketing", 58000, date(2022, 7, 20), "Rome", 27, None),
]


@cache
def flights() -> list[dict[str, Any]]:
    """The demo's flights, numbers as numbers and empty cells as None."""
    with gzip.open(DEMO / "flights_week1.csv.gz", "rt", newline="") as file:
        return [
            {name: _number(cell) for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]


@cache
def airlines() -> dict[str, str]:
    text = (DEMO / "airlines.csv").read_text()
    return {row["carrier"]: row["name"] for row in csv.DictReader(io.StringIO(text))}


def _number(cell: str) -> Any:
    if cell == "":
        return None
    return int(cell) if cell.lstrip("-").isdigit() else cell


class Source:
    def __init__(self, key: str, name: str, *statements: str) -> None:
        self.key, self.name = key, name
        self.connection = duckdb.connect()
        self._described: dict[str, Any] = {}
        for statement in statements:
            self.connection.execute(statement)

    def describe(self) -> dict[str, Any]:
        """As it was when first asked: tests that add rows take them away again."""
        self._described = self._described or self._read_schema()
        return self._described

    def _read_schema(self) -> dict[str, Any]:
        found = self.connection.execute(
            "SELECT table_name FROM information_schema.tables ORDER BY 1"
        )
        tables = [self._describe(name) for (name,) in found.fetchall()]
        return {
            "id": self.key,
            "name": self.name,
            "dialect": "duckdb",
            "tables": tables,
            "error": "",
        }

    def _describe(self, name: str) -> dict[str, Any]:
        columns = self.connection.execute(f'DESCRIBE "{name}"').fetchall()
        counted = self.connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608
        return {
            "name": name,
            "columns": [{"name": column[0], "type": column[1]} for column in columns],
            "row_count": counted[0] if counted else 0,
            "sample": self.rows(f'SELECT * FROM "{name}" LIMIT 3'),  # noqa: S608
        }

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found = self.connection.execute(sql)
        names = [column[0] for column in found.description or []]
        return [
            dict(zip(names, map(plain, row), strict=True)) for row in found.fetchall()
        ]

    def query(self, sql: str) -> list[dict[str, Any]]:
        tables = [table["name"] for table in self.describe()["tables"]]
        return self.rows(check(sql, dialect="duckdb", tables=tables, row_limit=200).sql)

    def find(self, phrases: list[str]) -> list[dict[str, Any]]:
        statements = search_statements(self.describe(), phrases)
        rows = [row for sql in statements for row in self.query(sql)]
        return [hit for phrase in phrases for hit in hits_of(phrase, rows, self.key)]


class Desk:
    """Answers a question over some sources, and remembers the SQL that it took."""

    def __init__(self, *sources: Source) -> None:
        self.sources = {source.key: source for source in sources}
        self.statements: list[str] = []

    def ask(self, question: str) -> Answer:
        self.statements = []
        dialogue = converse(question, has_tools=bool(self.sources), today=TODAY)
        try:
            call = next(dialogue)
            while True:
                call = dialogue.send(self._answer(call))
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    def _answer(self, call: ToolCall) -> ToolResult:
        if call.tool == "query_data":
            self.statements.append(call.arguments["sql"])
            rows = self.sources[call.arguments["source_id"]].query(
                call.arguments["sql"]
            )
            columns = list(rows[0]) if rows else []
            return ToolResult(
                {
                    "columns": columns,
                    "rows": rows,
                    "row_count": len(rows),
                    "truncated": False,
                }
            )
        if phrases := call.arguments.get("find"):
            return ToolResult(
                {
                    "found": [
                        hit
                        for source in self.sources.values()
                        for hit in source.find(phrases)
                    ]
                }
            )
        return ToolResult(
            {"sources": [source.describe() for source in self.sources.values()]}
        )


FLIGHTS_TABLE = f"CREATE TABLE flights_week1 AS SELECT * FROM read_csv('{DEMO}/flights_week1.csv.gz')"  # noqa: S608
AIRLINES_TABLE = (
    f"CREATE TABLE airlines AS SELECT * FROM read_csv('{DEMO}/airlines.csv')"  # noqa: S608
)


@cache
def flights_desk() -> Desk:
    return Desk(Source("ds_flights", "NYC flights", FLIGHTS_TABLE, AIRLINES_TABLE))


@cache
def two_sources_desk() -> Desk:
    return Desk(
        Source("ds_flights", "Flights", FLIGHTS_TABLE),
        Source("ds_airlines", "Airlines", AIRLINES_TABLE),
    )


@cache
def orders_desk() -> Desk:
    source = Source(
        "ds_orders",
        "orders.csv",
        "CREATE TABLE orders (order_id INT, customer VARCHAR, product VARCHAR, amount DOUBLE, quantity INT, status VARCHAR, created_at TIMESTAMP, country VARCHAR)",
    )
    source.connection.executemany(
        "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [list(order.values()) for order in ORDERS],
    )
    return Desk(source)


@cache
def shop_desk() -> Desk:
    source = Source(
        "ds_shop",
        "Shop",
        "CREATE TABLE customers (id INT, name VARCHAR, email VARCHAR, country VARCHAR, is_active BOOLEAN)",
        "CREATE TABLE products (id INT, name VARCHAR, category VARCHAR, price DOUBLE, stock INT, rating DOUBLE)",
        "CREATE TABLE orders (id INT, customer_id INT, status VARCHAR, order_date DATE)",
        "CREATE TABLE order_items (id INT, order_id INT, product_id INT, quantity INT)",
    )
    tables = {
        "customers": CUSTOMERS,
        "products": PRODUCTS,
        "orders": SHOP_ORDERS,
        "order_items": ORDER_ITEMS,
    }
    for name, rows in tables.items():
        marks = ", ".join("?" for _ in rows[0])
        source.connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608
    return Desk(source)


@cache
def staff_desk() -> Desk:
    source = Source(
        "ds_staff",
        "HR",
        "CREATE TABLE employees (emp_id INT, first_name VARCHAR, last_name VARCHAR, department VARCHAR, salary INT, hire_date DATE, city VARCHAR, age INT, manager VARCHAR)",
    )
    source.connection.executemany(
        "INSERT INTO employees VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", EMPLOYEES
    )
    return Desk(source)


def moment(order: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(order["created_at"])
