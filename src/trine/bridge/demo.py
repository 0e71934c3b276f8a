"""The bridge section of `trine demo`: ten deals bid, a match, a training whose curve rises.

About a minute on one core, without a network: the weights and the solved deals come with Trine. All
deals that are bid are from the evaluation side of the split (`trine.bridge.symmetry`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from trine.bridge.auction_report import JudgedBoard, bid_boards, judge
from trine.bridge.board_record import BoardRecord
from trine.bridge.bots.registry import make_bot
from trine.bridge.calls import format_call
from trine.bridge.cards import SEATS, Deal, board_dealer, board_vulnerability
from trine.bridge.config import (
    BudgetConfig,
    CriticConfig,
    DealsConfig,
    EvaluationConfig,
    NetworkConfig,
    PoolConfig,
    PpoConfig,
    Recipe,
)
from trine.bridge.deals import SolvedDeals, read_solved_deals
from trine.bridge.diagram import board_diagram, contract_text
from trine.bridge.match import Match, boards_of, play_match
from trine.bridge.match_pictures import histogram
from trine.bridge.par import find_par
from trine.bridge.symmetry import is_evaluation
from trine.core.report import Picture, Section, SectionContext
from trine.core.tables import Column, Table, save_table

__all__ = ["BOARDS", "KINDS", "demo_recipe", "interesting_boards", "section"]

SAMPLE = "sample:random-10k"
BOARDS = 1_000
"""Of the match."""
KINDS = (("part-score", 2), ("game", 3), ("slam", 2), ("grand slam", 1), ("sacrifice", 2))
"""What the ten deals are, by their par, and how many of each."""
DIAGRAMS = 4
UPDATES = 40


def demo_recipe(seed: int = 0) -> Recipe:
    """A small network that learns from nothing, by self-play alone."""
    return Recipe(
        title="demo",
        seed=seed,
        network=NetworkConfig(layers=2, width=256),
        critic=CriticConfig(layers=2, width=256),
        deals=DealsConfig(files=(SAMPLE,)),
        ppo=PpoConfig(
            boards=512, minibatch=1024, rate=1e-3, rate_end=2e-4, critic_rate=1e-3, entropy=0.02,
            entropy_end=0.005,
        ),
        pool=PoolConfig(share=0.0),
        budget=BudgetConfig(updates=UPDATES),
        evaluation=EvaluationConfig(boards=1_000, every=4, final_boards=1_000),
        checkpoint_every=10,
        device="cpu",
    )  # fmt: skip


def section(context: SectionContext) -> Section:
    """Bids ten deals, plays a match against `rules`, and trains a small network.

    Args:
      context: where to compute and keep results; a training that was stopped goes on.
    """
    from trine.bridge.training import train

    held = _held_out()
    bot, rules = make_bot("trine"), make_bot("rules")
    with context.progress.task("ten deals and a match", 2) as task:
        boards = [judge(board) for board in bid_boards(interesting_boards(held), (bot, bot))]
        task.advance()
        match = play_match(bot, rules, boards_of(held, BOARDS, context.seed, permute=True))
        task.advance()
    trained = train(
        demo_recipe(context.seed), Path(), directory=context.directory / "training",
        progress=context.progress,
    )  # fmt: skip
    figures = context.directory / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    tables = [_deals_table(boards), _match_table(match)]
    for table, name in zip(tables, ("deals", "match"), strict=True):
        save_table(table, context.directory / "tables", name)
    rows = pl.read_ndjson(trained.run.metrics_path, infer_schema_length=None)
    curve, first, last = _curve(rows, figures)
    return Section(
        title="Bridge: a bidding network that learned by bidding with itself",
        paragraphs=[
            "Four copies of one network bid; the cards are then played double-dummy, and the "
            "result is compared with another table, in IMPs. The network that comes with Trine "
            "first imitated recorded auctions and then played against itself.",
            _said(match),
            f"The training below starts from random weights: {UPDATES} updates of self-play bring "
            f"it from {first:.1f} to {last:.1f} IMPs a board away from par. It is no bidder "
            "yet; it shows that learning works on this machine.",
        ],
        tables=tables,
        figures=[*_diagrams(boards), histogram(match, figures), curve],
        notes=[
            "Par: the contract from which no side can gain, if all cards were open. No bidder "
            "reaches par, because nobody sees all cards: strong programs stay 4 to 5 IMPs a board "
            "away from it. A kind of deal is that of its par; the deals were chosen by "
            "par and number alone.",
            f"Match: {BOARDS:,} boards at two tables with the seats exchanged; ± is one standard "
            "error. All deals here are of the part that is never trained on.",
            "Your own hand: `trine bridge bid`; a whole deal: `trine bridge auction`; a network of "
            "your own: `trine bridge train`.",
        ],
    )


def interesting_boards(deals: SolvedDeals) -> list[BoardRecord]:
    """The first deals of each of `KINDS`, numbered as boards, with tables and par."""
    wanted = dict(KINDS)
    found: dict[str, list[BoardRecord]] = {kind: [] for kind in wanted}
    for row in range(len(deals)):
        number = row + 1
        dealer, vulnerability = board_dealer(number), board_vulnerability(number)
        tricks = tuple(int(count) for count in deals.tricks[row])
        par = find_par(tricks, dealer, int(vulnerability))
        if not par.contracts:
            continue
        contract = par.contracts[0]
        kind = _kind(contract.level, contract.strain, contract.doubled)
        if len(found[kind]) < wanted[kind]:
            found[kind].append(
                BoardRecord(
                    deal=Deal(deals.owner[row]),
                    dealer=dealer,
                    vulnerability=vulnerability,
                    board=str(number),
                    tricks=tricks,
                    par=par.score,
                    tags={"Event": kind},
                )
            )
        if all(len(boards) == wanted[name] for name, boards in found.items()):
            break
    return [board for boards in found.values() for board in boards]


def _kind(level: int, strain: int, doubled: int) -> str:
    if doubled:
        return "sacrifice"
    if level >= 6:
        return "slam" if level == 6 else "grand slam"
    return "game" if level >= (5, 5, 4, 4, 3)[strain] else "part-score"


def _held_out() -> SolvedDeals:
    deals = read_solved_deals(SAMPLE)
    return deals.take(np.flatnonzero(is_evaluation(deals.owner)))


def _deals_table(boards: list[JudgedBoard]) -> Table:
    rows = [
        {
            "kind": judged.board.tags["Event"],
            "board": judged.board.board,
            "dealer": SEATS[judged.board.dealer],
            "vulnerable": judged.board.vulnerability.text,
            "auction": " ".join(format_call(call) for call in judged.board.calls),
            "result": contract_text(judged.board),
            "par": f"{judged.par}, N/S {judged.par.score:+d}",
            "imps": judged.imps,
        }
        for judged in boards
    ]
    return Table(
        pl.DataFrame(rows),
        "Ten deals, bid by the network in all four seats",
        [
            Column("kind", highlight=True), Column("board"), Column("dealer"),
            Column("vulnerable"), Column("auction"), Column("result"), Column("par"),
            Column("imps", "N/S IMPs against par", "+d"),
        ],
    )  # fmt: skip


def _match_table(match: Match) -> Table:
    found = match.document()
    rows = []
    for place, made in enumerate(found["contracts"]):
        sign = 1 - 2 * place
        rows.append(
            {
                "bot": match.names[place],
                "imps": sign * found["imps_per_board"],
                "se": found["se"],
                "won": found["losses" if place else "wins"],
                "tied": found["ties"],
                **made,
            }
        )
    return Table(
        pl.DataFrame(rows),
        f"A match over {found['boards']:,} boards",
        [
            Column("bot", highlight=True), Column("imps", "IMPs a board", "+.2f"),
            Column("se", "±", ".2f"), Column("won", "boards won"), Column("tied"),
            Column("declared"), Column("made"), Column("doubled"),
        ],
    )  # fmt: skip


def _said(match: Match) -> str:
    found = match.document()
    mean, error = found["imps_per_board"], found["se"]
    clear = "clear of" if abs(mean) > 2 * error else "within"
    verb = "beats" if mean > 0 else "loses to"
    return (
        f"On {found['boards']:,} boards it {verb} `rules`, a plain natural bidder written by hand, "
        f"by {abs(mean):.2f} ± {error:.2f} IMPs a board, {clear} two standard errors."
    )


def _diagrams(boards: list[JudgedBoard]) -> Iterator[Picture]:
    """Of the last deals: slams and sacrifices are what people like to look at."""
    for judged in boards[-DIAGRAMS:]:
        board = judged.board
        kind = board.tags["Event"]
        yield Picture(
            board_diagram([board], ["trine in all seats"], f"Board {board.board}: a {kind}"),
            f"Par is {judged.par}, N/S {judged.par.score:+d}: {judged.imps:+d} IMPs against it.",
            f"Board {board.board}, a {kind}: {contract_text(board)}",
        )


def _curve(rows: pl.DataFrame, folder: Path) -> tuple[Picture, float, float]:
    """The picture, and IMPs away from par at the first and the last measurement."""
    from trine.core.figures import PALETTE, house_style, new_figure, save_figure
    from trine.core.report import picture

    shown = rows.select("decisions", "from_par").drop_nulls()
    shown = shown.with_columns((-pl.col("from_par")).alias("imps"))
    figure, axes = new_figure(5.2, 3.0)
    with house_style():
        axes.plot(
            (shown["decisions"] / 1000).to_list(), shown["imps"].to_list(), marker="o",
            color=PALETTE.colour("from_par"),
        )  # fmt: skip
        axes.set_xlabel("calls made in self-play (thousands)")
        axes.set_ylabel("IMPs a board from par")
    saved = save_figure(figure, shown, folder, "learning")
    caption = "1,000 held-out boards, most probable calls; one run, no error bar. 0 would be par."
    values = shown["imps"].to_list()
    return picture(saved, caption, "A training from nothing"), -values[0], -values[-1]
