"""A plain natural bidding system as readable rules.

- `hand_features`: a hand as numbers. `language`: what a rule is. `knowledge`: what calls show.
  `table`: a position as all see it. `system`: which list of rules is for a position.
- The lists: `openings`, `responses`, `notrump`, `strong`, `rebids`, `contested`, `overcalls`,
  `advances`, `slams`; for everything else `judgement` and `competing`.

The bot is `trine.bridge.bots.rules`.
"""
