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


def section(context: SectionContext) -> Section:
    """CFR1k, JPS, CFR1k+JPS, sampled JPS and `best`, and the convention they learn.

    Args:
      context: where to compute and keep results; what is there already is not computed again.
    """
    scale = SCALES["quick"]
    exact = exact_section(context, scale.exact, say=_logger.warning)
    sampled = sampled_section(context, scale.sampled, samples=SAMPLES, say=_logger.warning)
    name, size = CONVENTION
    tree = build_tree(make_game(name, size))
    found = best_search(
        tree, generator=Seeds(context.seed).generator("convention"), settings=BestSettings(),
        stop_at=PROVED[CONVENTION],
    )  # fmt: skip
    title = f"The convention found for Simple Bidding {size}: {found.value:.4g} points a deal"
    figure, frame = convention_picture(tree, found.policy, title)
    saved = save_figure(figure, frame, context.directory / "figures", "convention")
    learned = policy_table(tree, found.policy)
    save_table(learned, context.directory / "tables", "convention")
    return Section(
        title=exact.title,
        paragraphs=[*exact.paragraphs, *sampled.paragraphs],
        tables=[*exact.tables, *sampled.tables, learned],
        figures=[
            *exact.figures,
            picture(saved, "Bids b are worth 2^(b-1), 0 is pass; colour: what the deal pays."),
        ],
        notes=[*exact.notes, *sampled.notes],
    )
