"""What Craft says to the person who started it: little, in colour on a terminal, and plain elsewhere."""

from django.conf import settings
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

console = Console(highlight=False, soft_wrap=False)


def addresses() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right")
    grid.add_column(overflow="fold")
    for name, path in (
        ("Try the API", "/docs/"),
        ("Operate", "/admin/"),
        ("API", "/api/v1  and  /v1"),
    ):
        grid.add_row(name, f"[bold]{settings.PUBLIC_URL}{path}[/]")
    return grid


def announce() -> None:
    """The first thing to read, once the server answers."""
    console.print(
        Panel(
            addresses(),
            title="[bold]Craft is ready[/]",
            subtitle="[dim]Ctrl-C stops it[/]",
            expand=False,
            padding=(1, 3),
        )
    )
