"""The games section of `trine demo`: the paper's four games in a few minutes."""

from __future__ import annotations

import logging

from trine.core.figures import save_figure
from trine.core.report import Section, SectionContext, picture
from trine.core.seeding import Seeds
from trine.core.tables import save_table
from trine.games.best import BestSettings, best_search
from trine.games.catalog import make_game
from trine.games.paper import PROVED
from trine.games.pictures import convention_picture
from trine.games.report import policy_table
from trine.games.reproduce import SCALES, exact_section, sampled_section
from trine.games.tree import build_tree

_logger = logging.getLogger("trine")

SAMPLES = (1, 8, 25)
CONVENTION = ("simple-bidding", 16)


def exact_search(context: SectionContext) -> Section:
    """CFR1k, JPS, CFR1k+JPS and `best` on the paper's four games, beside paper and optimum.

    Args:
      context: where to compute and keep results; what is there already is not computed again.
    """
    return exact_section(context, SCALES["quick"].exact, say=_logger.warning)


def sampled_search(context: SectionContext) -> Section:
    """CFR1k + sampled JPS on Mini-Hanabi and Simple Bidding 16."""
    return sampled_section(context, SCALES["quick"].sampled, samples=SAMPLES, say=_logger.warning)


def convention(context: SectionContext) -> Section:
    """What the two players of Simple Bidding 16 agree on, as a picture and a table."""
    name, size = CONVENTION
    tree = build_tree(make_game(name, size))
    found = best_search(
        tree, generator=Seeds(context.seed).generator("convention"), settings=BestSettings(),
        stop_at=PROVED[CONVENTION],
    )  # fmt: skip
    figure, frame = convention_picture(tree, found.policy, "Calls and payoff of every deal")
    saved = save_figure(figure, frame, context.directory / "figures", "convention")
    learned = policy_table(tree, found.policy)
    save_table(learned, context.directory / "tables", "convention")
    return Section(
        title=f"A learned convention: Simple Bidding {size}, {found.value:.4g} points a deal",
        paragraphs=[
            "Bid b is worth 2^(b-1) points if both cards together reach that number, else nothing; "
            "0 is pass. The low bids carry most of the message: they are rarely where a deal ends.",
        ],
        tables=[learned],
        figures=[picture(saved, "Text: the calls; colour: what the deal pays.")],
    )
