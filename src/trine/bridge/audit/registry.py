"""All measures, in the order of the report.

Adding one: a function in a file here, a line in `MEASURES`, a test, a row in the table of the docs.
"""

from __future__ import annotations

from trine.bridge.audit.base import Measure
from trine.bridge.audit.doubles import (
    double_made,
    doubled_game_made,
    doubled_part_score_made,
    not_run,
)
from trine.bridge.audit.forcing import (
    cue_bid_passed,
    jump_shift_passed,
    new_suit_passed,
    two_clubs_passed,
)
from trine.bridge.audit.long_auctions import long_auction
from trine.bridge.audit.missed import missed_game, missed_grand, missed_slam
from trine.bridge.audit.redoubles import redoubled
from trine.bridge.audit.sacrifices import phantom_sacrifice
from trine.bridge.audit.slams import off_two_aces, off_two_tops
from trine.bridge.audit.too_high import (
    game_too_high,
    grand_too_high,
    part_score_too_high,
    slam_too_high,
)

__all__ = ["MEASURES"]

MEASURES: tuple[Measure, ...] = (
    Measure("double-made", "a doubled contract makes", double_made),
    Measure("doubled-part-score-made", "a doubled part-score makes", doubled_part_score_made),
    Measure("doubled-game-made", "a doubled game or slam makes", doubled_game_made),
    Measure("doubled-not-run", "a doubled part-score fails, with a better place to run", not_run),
    Measure("redoubled", "a contract is played redoubled", redoubled),
    Measure("phantom-sacrifice", "fails over a game that fails too", phantom_sacrifice),
    Measure("cue-bid-passed", "partner's cue-bid is passed out", cue_bid_passed),
    Measure("new-suit-passed", "opener passes a new suit", new_suit_passed),
    Measure("jump-shift-passed", "partner's jump shift is passed", jump_shift_passed),
    Measure("two-clubs-passed", "the opening of 2C is passed", two_clubs_passed),
    Measure("slam-off-two-aces", "a suit slam with two aces missing", off_two_aces),
    Measure("slam-off-two-tops", "a slam with two tricks to cash against it", off_two_tops),
    Measure("part-score-too-high", "a part-score fails, lower it makes", part_score_too_high),
    Measure("game-too-high", "a game fails, lower it makes", game_too_high),
    Measure("slam-too-high", "a small slam fails, lower it makes", slam_too_high),
    Measure("grand-too-high", "a grand slam fails, lower it makes", grand_too_high),
    Measure("missed-game", "par is a game, not bid", missed_game),
    Measure("missed-slam", "par is a small slam, not bid", missed_slam),
    Measure("missed-grand", "par is a grand slam, not bid", missed_grand),
    Measure("long-auction", "more than 20 calls", long_auction),
)
