"""`trine bridge`: the room of contract bridge; each group of commands is a module of its own."""

import typer

from trine.cli import (
    bridge_auction,
    bridge_audit,
    bridge_bid,
    bridge_deals,
    bridge_match,
    bridge_train,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.add_typer(bridge_deals.app, name="deals")
bridge_train.register(app)
bridge_match.register(app)
bridge_bid.register(app)
bridge_auction.register(app)
bridge_audit.register(app)


@app.callback()
def bridge() -> None:
    """Bid contract bridge: deals, auctions, matches, training."""
