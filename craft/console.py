"""What Craft says to the person who started it: little, in colour on a terminal, and plain elsewhere."""

from django.conf import settings
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from craft import first_operator

console = Console(highlight=False, soft_wrap=False)


def addresses() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right")
    grid.add_column(overflow="fold")
    for name, path in (
        ("Sign in", "/"),
        ("Try the API", "/docs/"),
        ("Operate", "/admin/"),
        ("API", "/api/v1  and  /v1"),
    ):
        grid.add_row(name, f"[bold]{settings.PUBLIC_URL}{path}[/]")
    return grid


def announce(*, with_token: bool = False) -> None:
    """The first thing to read, once the server answers; on an installation that nobody operates yet, `with_token`, also how to."""
    console.print(
        Panel(
            addresses(),
            title="[bold]Craft is ready[/]",
            subtitle="[dim]Ctrl-C stops it[/]",
            expand=False,
            padding=(1, 3),
        )
    )
    if with_token and not first_operator.has_operator():
        address = f"{settings.PUBLIC_URL}/setup?token={first_operator.offer_token()}"
        console.print("Nobody operates this installation yet. Make its operator here:")
        console.print(f"[bold]{address}[/]", soft_wrap=True)  # whole, to be copied
