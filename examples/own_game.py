"""Define a game, solve it, and print the convention that the partners have found.

    .venv/bin/python examples/own_game.py

Two lookouts see one weather card each: calm, windy or storm. The first hoists one of two flags, and
the second decides whether the boat sails. Sailing earns 1 when both cards are calm, costs 1 when
either shows storm, and is worth nothing in between; staying in harbour is worth nothing.
"""

import numpy as np

from trine.games import TERMINAL, Deals, best_search, build_tree, convention_table, solve_exact

WEATHER = ("calm", "windy", "storm")


class Lookouts:
    """A `PublicActionGame`: one private deal, then two public actions."""

    name = "lookouts"
    num_players = 2

    def deals(self) -> Deals:
        """All nine pairs of cards, equally likely."""
        return Deals(np.indices((3, 3)).reshape(2, -1).T, np.full(9, 1 / 9))

    def card_label(self, player: int, card: int) -> str:
        """How a card is called in tables."""
        return WEATHER[card]

    def start(self) -> tuple[str, ...]:
        """A public state is the tuple of actions so far."""
        return ()

    def player(self, public_state: tuple[str, ...]) -> int:
        """First the flag, then the order."""
        return len(public_state) if len(public_state) < 2 else TERMINAL

    def actions(self, public_state: tuple[str, ...]) -> list[str]:
        """Legal actions at a public state."""
        return ["stay", "sail"] if public_state else ["red flag", "white flag"]

    def apply(self, public_state: tuple[str, ...], action: str) -> tuple[str, ...]:
        """Append the action."""
        return (*public_state, action)

    def payoff(self, public_state: tuple[str, ...], cards: np.ndarray) -> np.ndarray:
        """`[K]` payoff of each deal."""
        if public_state[1] == "stay":
            return np.zeros(len(cards))
        worst = cards.max(axis=1)
        return np.where(worst == 0, 1.0, np.where(worst == 2, -1.0, 0.0))


def main() -> None:
    """Search, prove, print."""
    tree = build_tree(Lookouts())
    found = best_search(tree, generator=np.random.default_rng(0))
    proof = solve_exact(tree)
    for row in convention_table(tree, found.policy).iter_rows(named=True):
        seen = f"after {row['history']}, " if row["history"] else ""
        print(f"player {row['player']}: {seen}with {row['cards']}: {row['action']}")
    print(f"value {found.value:.4f}, optimum {proof.value:.4f} (proved: {proof.proved})")


if __name__ == "__main__":
    main()
