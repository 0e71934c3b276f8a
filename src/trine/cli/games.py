"""`trine games`: tabular games of imperfect information."""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def options() -> None:
    """Solve tabular games, reproduce the paper's tables, show what was learned."""
