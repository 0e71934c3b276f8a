"""Which list of options is for a position.

The order of the questions: has partner asked something (a convention)? Has anybody bid? Who opened,
and which turn is it of mine? What no list is written for, judgement does.
"""

from __future__ import annotations

from trine.bridge.calls import DOUBLE, NUM_BIDS, PASS, bid
from trine.bridge.rules.advances import advances, to_takeout, to_two_suits
from trine.bridge.rules.competing import competing
from trine.bridge.rules.contested import over_our_notrump, over_our_suit
from trine.bridge.rules.judgement import judgement, last_resorts
from trine.bridge.rules.language import NOTRUMP, Option, diamonds, hearts, length, spades
from trine.bridge.rules.notrump import (
    after_stayman,
    after_transfer,
    stayman_answers,
    to_notrump,
    transfer_answers,
)
from trine.bridge.rules.openings import openings
from trine.bridge.rules.overcalls import overcalls
from trine.bridge.rules.rebids import opener_rebids
from trine.bridge.rules.responses import jacoby_answers, responses
from trine.bridge.rules.slams import ace_answers, after_aces, quantitative_answers
from trine.bridge.rules.strong import strong_rebids, to_preempt, to_strong
from trine.bridge.rules.table import Table

__all__ = ["options_of"]


def options_of(table: Table) -> list[Option]:
    """What the seat to call may choose from, best first; the last one fits every hand.

    Every call is legal, and a forcing call of partner's is not passed but by choice (a take-out
    double turned into penalties).
    """
    options = [o for o in _listed(table) if table.is_legal(o.call)]
    if table.forced:
        options = [o for o in options if o.call != PASS or o.tag == "penalty"]
        options += [o for o in last_resorts(table) if table.is_legal(o.call)]
    return [*options, Option(PASS, fallback=True)]


def _listed(table: Table) -> list[Option]:
    if table.bid < 0:
        return openings(table)
    asked = _convention(table)
    if asked is not None:
        return asked
    mine, partner = table.mine, table.partner
    if not mine.acted and not partner.acted:
        return overcalls(table)
    if not mine.acted and partner.acted == 1:
        return _first_answer(table)
    if table.opener == table.me and mine.acted == 1 and table.calls[table.me] < bid(1, NOTRUMP):
        return opener_rebids(table)
    if table.theirs:
        return competing(table)
    return judgement(table)


def _first_answer(table: Table) -> list[Option]:
    """Partner has made one call that was no pass, and I none."""
    partner = table.partner
    if partner.tag == "notrump" and table.bid % 5 == NOTRUMP and table.ours:
        return to_notrump(table)
    if partner.tag == "notrump":
        return over_our_notrump(table)
    if partner.tag == "strong":
        return to_strong(table)
    if partner.tag == "preempt" and table.ours:
        return to_preempt(table)
    if partner.tag == "preempt":
        return competing(table)
    if not table.we_opened:
        return advances(table)
    if table.quiet and table.level == 1:
        return responses(table)
    return over_our_suit(table)


def _convention(table: Table) -> list[Option] | None:
    """The list for a question of partner's, or for its answer to mine."""
    tag, mine = table.partner.tag, table.mine.tag
    asked = table.partners_call
    if tag == "takeout" and asked == DOUBLE and table.theirs:
        return to_takeout(table)
    if tag == "penalty" and asked == DOUBLE:
        return [Option(PASS)] if table.right_passed else None
    if mine == "final" and table.ours:
        return [Option(PASS)]
    if not table.undisturbed or asked >= NUM_BIDS:
        return None
    if tag == "final" or table.bid >= bid(6, 0):
        return [Option(PASS)]
    if tag == "notrump" and asked % 5 == NOTRUMP and mine == "waiting":
        return to_notrump(table)
    if tag == "stayman":
        return stayman_answers(table)
    if tag.startswith("transfer"):
        return transfer_answers(table, int(tag[-1]))
    if tag == "minor":
        return [Option(bid(3, 0), meaning="as asked")]
    if mine == "minor":
        return [Option(bid(3, diamonds), (length(diamonds, 6),)), Option(PASS)]
    if mine == "stayman" and tag == "answer":
        return after_stayman(table)
    if mine.startswith("transfer") and asked % 5 == int(mine[-1]):
        return after_transfer(table, int(mine[-1]))
    if tag == "quantitative":
        return quantitative_answers(table)
    if tag == "aces":
        return ace_answers()
    if tag.startswith("shown") and mine == "aces":
        return after_aces(table, int(tag[-1]))
    if tag.startswith("jacoby"):
        return jacoby_answers(int(tag[-1]))
    if tag == "waiting":
        return strong_rebids(table)
    if tag == "michaels":
        return to_two_suits(table, [spades, hearts])
    if tag.startswith("michaels"):
        return to_two_suits(table, [int(tag[-1])])
    if tag == "unusual":
        theirs = table.their_suits
        return to_two_suits(table, [s for s in range(4) if s not in theirs][:2])
    return None
