"""How the demo looks in a terminal: readable at 80 columns, and without colour."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from rich.box import SIMPLE_HEAD
from rich.markdown import Markdown
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from craft.console import console
from craft.demo import state
from craft.demo.figures import Figures

WIDTH = 100
NAME_WIDTH = 17


def heading(text: str) -> None:
    console.print()
    console.print(
        Rule(Text(text, style="bold"), align="left", style="dim"),
        width=min(console.width, WIDTH),
    )


def fact(name: str, text: str, *, width: int = 10) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=width, style="dim", justify="right")
    grid.add_column(overflow="fold")
    grid.add_row(name, text)
    console.print(grid, width=min(console.width, WIDTH))


def answer(question: str, answered: Any) -> None:
    console.print()
    console.print(
        Text.assemble(("? ", "bold cyan"), (question, "bold")),
        width=min(console.width, WIDTH),
    )
    console.print(
        Padding(Markdown(answered["response"]), (0, 0, 0, 2)),
        width=min(console.width, WIDTH),
    )
    for citation in answered["citations"]:
        console.print(
            Padding(_source_of(citation), (0, 0, 0, 2)), width=min(console.width, WIDTH)
        )


def _source_of(citation: Any) -> Text:
    rows = citation["row_count"]
    where = f"Source: {citation['source_name']}, table {citation['table']}, {rows} row{'' if rows == 1 else 's'}"
    return Text.assemble((f"{where}\n", "dim"), (citation["sql"], "dim italic"))


def progress() -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def results(figures: list[Figures], calls: int) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=False)
    table.add_column("workflow")
    for name in ("executions", "completed", "p50 ms", "p95 ms", "per second"):
        table.add_column(name, justify="right")
    for row in figures:
        table.add_row(
            f"[bold]{row.name}[/]",
            f"{row.executions:,}",
            f"{row.completed:,}",
            f"{row.p50_ms:,.0f}",
            f"{row.p95_ms:,.0f}",
            "-" if row.per_second is None else f"{row.per_second:,.0f}",
        )
    console.print(table)
    for row in figures:
        fact(row.name, f"{row.shape}: {row.finding}", width=NAME_WIDTH)
    note = f"p50 and p95: from the accepted trigger to the end. All of it took {calls:,} calls of the public API."
    console.print(f"\n[dim]{note}[/]", width=min(console.width, WIDTH))


def next_steps(known: dict[str, Any], agent_id: str) -> None:
    heading("Next steps")
    fact("try it", f"[bold]{settings.PUBLIC_URL}/docs/[/]  every call, with your key")
    fact("operate", f"[bold]{settings.PUBLIC_URL}/admin/[/]  {state.ADMIN}")
    if "admin_password" in known:
        fact(
            "password",
            f"[bold]{known['admin_password']}[/]  [dim]shown this once; it opens /admin/[/]",
        )
    fact("API key", f"[bold]{known['key']}[/]")
    fact("log-in", f"{state.CUSTOMER}  {known['password']}")
    console.print("\n  [dim]Paste this to ask the agent something else:[/]\n")
    for line in curl(known["key"], agent_id):
        console.print(line, soft_wrap=True, markup=False)
    console.print()


def curl(key: str, agent_id: str) -> list[str]:
    """One command over several lines, each of which fits into 80 columns."""
    address = urlsplit(settings.PUBLIC_URL)
    base = address.netloc if address.scheme == "http" else settings.PUBLIC_URL
    return [
        f"curl {base}/api/v1/agents/{agent_id}/execute \\",
        f'  -H "Authorization: Bearer {key}" \\',
        '  -H "Content-Type: application/json" \\',
        """  -d '{"input": "Which origin has the most flights?"}'""",
    ]


def later_steps() -> None:
    """On a later start: where things are, without the secrets that were shown once."""
    console.print(
        f"[dim]The demo company is there: log in as {state.CUSTOMER}, or as the operator {state.ADMIN}.[/]"
    )
    console.print(
        f"[dim]Forgot a password? .venv/bin/python manage.py changepassword {state.ADMIN}[/]",
        soft_wrap=True,
    )
