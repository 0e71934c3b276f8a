"""The natural bidder by rules: standard calls, legality, what is forcing, and a match."""

from __future__ import annotations

import numpy as np

from tests.bridge.test_bots import positions
from trine.bridge.bots.rules import RulesBot


def test_every_call_is_legal_whatever_came_before() -> None:
    _, seen = positions(count=400)
    bot = RulesBot()
    calls = bot.calls(seen)
    assert seen.legal[np.arange(len(seen)), calls].all()
    assert all(bot.explain(seen))
