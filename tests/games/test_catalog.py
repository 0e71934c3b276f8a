"""The games themselves: rules by hand, counts by formula, sizes refused."""

import numpy as np
import pytest

from trine.core.errors import DataError, UsageError
from trine.games.best_response import nash_conv, player_values
from trine.games.catalog import GAMES, game_spec, make_game
from trine.games.catalog.communication import Communication
from trine.games.catalog.kuhn import Kuhn
from trine.games.catalog.leduc import Leduc, State
from trine.games.catalog.mini_hanabi import MiniHanabi
from trine.games.catalog.simple_bidding import SimpleBidding
from trine.games.catalog.two_suit_bridge import TwoSuitBridge
from trine.games.config import SolveConfig
from trine.games.exact_bounds import clairvoyant_values
from trine.games.game import TERMINAL, Deals, PublicActionGame
from trine.games.policy import TabularPolicy, uniform_policy
from trine.games.tree import Tree, build_tree

BIDDING = ("simple-bidding", "two-suit-bridge")
SIZED = [name for name, spec in GAMES.items() if spec.size_meaning]


def paid(game: PublicActionGame, history: tuple[int, ...], *cards: int) -> float:
    """What one deal pays at the end of a history that is legal up to there."""
    state = game.start()
    for action in history:
        assert action in game.actions(state)
        state = game.apply(state, action)
    assert game.player(state) == TERMINAL
    return float(game.payoff(state, np.array([cards]))[0])


# ---- counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_counts_of_comm(size: int):
    # Spec, section 4.1: (2^L - 1) 2^L decisions of player 1, 2^L of player 2: 4^L.
    tree = build_tree(Communication(size))
    numbers = 2**size
    assert tree.num_info_sets == 4**size
    assert tree.num_states == 1 + numbers * (2 * numbers - 1 + numbers**2)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 7, 8, 9])
def test_counts_of_simple_bidding(size: int):
    # Spec, section 4.3: m = floor(log2(N - 1)) + 2 bids, N 2^m decisions. Public states: 2^m - 1
    # with a last bid and its pass each, plus the start.
    bids = int(np.floor(np.log2(size - 1))) + 2
    game = SimpleBidding(size)
    assert game.actions(()) == list(range(1, bids + 1))
    tree = build_tree(game)
    assert tree.num_info_sets == size * 2**bids
    assert tree.num_states == 1 + size**2 * (2 * 2**bids - 1)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_counts_of_two_suit_bridge(size: int):
    # Spec, section 4.4: 2 2^(2N) (N + 1) decisions.
    tree = build_tree(TwoSuitBridge(size))
    assert tree.num_info_sets == 2 * 4**size * (size + 1)
    assert tree.num_states == 1 + (size + 1) ** 2 * (4 * 4**size - 1)


# ---- rules --------------------------------------------------------------------------------------


def test_the_top_bid_is_the_largest_power_of_two_in_reach():
    # Spec, section 4.3: N = 4 to 4, 8 to 8, 16 to 16.
    for size, worth in ((2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 16), (16, 16), (17, 32)):
        top = SimpleBidding(size).top_bid
        assert 2 ** (top - 1) == worth
        assert worth <= 2 * (size - 1) < 2 * worth


def test_simple_bidding_by_hand():
    game = SimpleBidding(8)
    assert game.actions(()) == [1, 2, 3, 4]  # player 1 must bid
    assert game.actions((2,)) == [0, 3, 4]
    assert game.actions((1, 4)) == [0]  # above the top bid is only pass
    assert [game.player(s) for s in ((), (1,), (1, 2), (1, 2, 0))] == [0, 1, 0, TERMINAL]
    # Bid 3 is worth 4: paid from a sum of 4 on, and nothing is lost below.
    assert [paid(game, (3, 0), *cards) for cards in ((1, 3), (4, 0), (7, 7), (1, 2), (0, 0))] == [
        4, 4, 4, 0, 0,
    ]  # fmt: skip
    # The last bid counts, whoever made it.
    assert paid(game, (1, 4, 0), 7, 1) == 8
    assert paid(game, (1, 4, 0), 6, 1) == 0
    assert paid(game, (1, 2, 3, 0), 2, 2) == 4
    assert paid(game, (1, 0), 0, 0) == 0  # bid 1 is worth 1, above a sum of 0


def test_two_suit_bridge_by_hand():
    game = TwoSuitBridge(3)
    assert game.actions(()) == [0, 1, 2, 3, 4, 5, 6]  # pass, 1H 1S 2H 2S 3H 3S
    assert game.actions((0,)) == [0, 1, 2, 3, 4, 5, 6]
    assert game.actions((0, 4)) == [0, 5, 6]
    assert game.actions((6,)) == [0]
    # The first pass does not end the game, any other does.
    assert [game.player(s) for s in ((), (0,), (0, 0), (1, 0), (0, 1), (0, 1, 0))] == [
        0, 1, TERMINAL, TERMINAL, 0, TERMINAL,
    ]  # fmt: skip
    assert paid(game, (0, 0), 3, 3) == 0
    # One heart needs 3 + 1 hearts of both hands.
    assert [paid(game, (1, 0), *cards) for cards in ((2, 2), (1, 3), (1, 2), (0, 0))] == [
        1, 1, -1, -1,
    ]  # fmt: skip
    # One spade needs 4 spades: at most 2 hearts.
    assert [paid(game, (0, 2, 0), *cards) for cards in ((1, 1), (0, 2), (2, 1))] == [1, 1, -1]
    # Level 3 pays 2^2, with all six cards of the suit; level 2 pays 2, with five.
    assert [paid(game, (5, 0), *cards) for cards in ((3, 3), (3, 2))] == [4, -1]
    assert [paid(game, (1, 6, 0), *cards) for cards in ((0, 0), (0, 1))] == [4, -1]
    assert [paid(game, (1, 3, 0), *cards) for cards in ((3, 2), (2, 2))] == [2, -1]


def test_mini_hanabi_by_hand():
    game = MiniHanabi()
    # Spec, section 4.2: the table by (card 1, card 2), rows action 1, columns action 2.
    assert [paid(game, (0, b), 0, 0) for b in range(3)] == [10, 0, 0]
    assert [paid(game, (2, b), 0, 1) for b in range(3)] == [0, 0, 10]
    assert [paid(game, (2, b), 1, 0) for b in range(3)] == [0, 0, 0]  # the row of zeros
    assert [paid(game, (0, b), 1, 1) for b in range(3)] == [10, 0, 0]
    for cards in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert [paid(game, (1, b), *cards) for b in range(3)] == [4, 8, 4]


def test_comm_by_hand():
    game = Communication(2)
    assert game.actions(((0, 1), None)) == range(4)
    assert [game.player(s) for s in (((), None), ((1,), None), ((1, 0), None))] == [0, 0, 1]
    assert [paid(game, (1, 0, 2), number, 0) for number in range(4)] == [0, 0, 1, 0]


@pytest.mark.parametrize("name", ["comm", *BIDDING])
def test_all_deals_are_equally_likely(name: str):
    deals: Deals = make_game(name, 3).deals()  # pyright: ignore[reportAttributeAccessIssue] (public)
    np.testing.assert_allclose(deals.probability, 1 / len(deals.probability), rtol=1e-15)
    assert len(np.unique(deals.cards, axis=0)) == len(deals.cards)
    assert len(deals.cards) == {"comm": 8, "simple-bidding": 9, "two-suit-bridge": 16}[name]


def test_what_players_who_see_all_cards_earn():
    # Simple Bidding 4: the largest of 1, 2, 4 not above the sum. Sums 0..6 of two cards 0..3 come
    # 1, 2, 3, 4, 3, 2, 1 times: (0 + 2 + 6 + 8 + 12 + 8 + 4) / 16.
    assert clairvoyant_values(build_tree(SimpleBidding(4)))[0] == pytest.approx(40 / 16, abs=1e-12)
    # 2-Suit Bridge 1: sums 0, 1, 1, 2; one spade, passed out twice, one heart: 2 / 4.
    assert clairvoyant_values(build_tree(TwoSuitBridge(1)))[0] == pytest.approx(0.5, abs=1e-12)


def behave(tree: Tree, rows: dict[str, tuple[float, float]]) -> TabularPolicy:
    policy = uniform_policy(tree)
    for i in range(tree.num_info_sets):
        policy.probabilities[tree.entry_start[i] : tree.entry_start[i + 1]] = rows[
            tree.info_set_name(i)
        ]
    return policy


def test_kuhn_equilibrium():
    # Kuhn 1950 with parameter 0: worth -1/18 to player 1, and nobody can gain alone.
    tree = build_tree(Kuhn())
    policy = behave(
        tree,
        {
            "P1 [J]": (1, 0), "P1 [Q]": (1, 0), "P1 [K]": (1, 0),
            "P1 [J] pass bet": (1, 0), "P1 [Q] pass bet": (2 / 3, 1 / 3), "P1 [K] pass bet": (0, 1),
            "P2 [J] pass": (2 / 3, 1 / 3), "P2 [Q] pass": (1, 0), "P2 [K] pass": (0, 1),
            "P2 [J] bet": (1, 0), "P2 [Q] bet": (2 / 3, 1 / 3), "P2 [K] bet": (0, 1),
        },
    )  # fmt: skip
    assert player_values(tree, policy) == pytest.approx([-1 / 18, 1 / 18], abs=1e-12)
    assert nash_conv(tree, policy) == pytest.approx(0, abs=1e-12)


def test_leduc_by_hand():
    game = Leduc()
    state = State()
    for move in (4, 1):  # a king, a jack
        state = game.apply(state, move)
    assert game.actions(state) == ["call", "raise"]
    for move in ("raise", "raise"):
        state = game.apply(state, move)
    assert game.actions(state) == ["fold", "call"]  # two raises a round
    assert state.stakes == (3, 5)
    assert game.payoff(game.apply(state, "fold")) == (-3, 3)
    state = game.apply(game.apply(state, "call"), 0)  # the other jack on the table
    assert game.player(state) == 0
    for move in ("raise", "call"):
        state = game.apply(state, move)
    assert state.stakes == (9, 9)
    assert game.payoff(state) == (-9, 9)  # the pair of jacks beats the king


# ---- sizes and names ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, -(10**6), 0, "four", 4.0, True, None])
@pytest.mark.parametrize("name", SIZED)
def test_a_wrong_size_is_refused_in_one_line(name: str, size: object):
    with pytest.raises(UsageError) as caught:
        make_game(name, size)  # pyright: ignore[reportArgumentType] (wrong on purpose)
    message = str(caught.value)
    assert "\n" not in message
    assert f"at least {GAMES[name].smallest}" in message
    assert "e.g. --size" in message


@pytest.mark.parametrize("name", SIZED)
def test_the_smallest_size_is_a_game_and_the_one_below_is_not(name: str):
    smallest = GAMES[name].smallest
    tree = build_tree(make_game(name, smallest))
    assert tree.num_info_sets > 0
    assert clairvoyant_values(tree)[0] > 0  # there is something to win
    with pytest.raises(UsageError, match=f"size {smallest - 1} of {name} is not accepted"):
        make_game(name, smallest - 1)


@pytest.mark.parametrize("size", [99, 10**6])
@pytest.mark.parametrize("name", ["comm", "two-suit-bridge"])
def test_a_size_beyond_any_memory_is_refused_with_the_figure(name: str, size: int):
    with pytest.raises(DataError, match=rf"{name}:{size} has at least 10\^\d+ states") as caught:
        build_tree(make_game(name, size))
    assert "limit is 8,192 MiB" in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_game_of_one_size_takes_none():
    for name in set(GAMES) - set(SIZED):
        with pytest.raises(UsageError, match=f"{name} has one size only, got --size 3"):
            make_game(name, 3)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("simple-biding", "simple-bidding"), ("mini_hanabi", "mini-hanabi"), ("COMM", "comm")],
)
def test_an_unknown_game_names_the_nearest(given: str, meant: str):
    with pytest.raises(UsageError, match=f"unknown game '{given}'.*did you mean '{meant}'"):
        game_spec(given)


def test_search_depths():
    # Authors' commands: D = 0 for Mini-Hanabi, D = 3 for Simple Bidding 16 (spec, section 5).
    def depth(game: str, size: int | None = None) -> int:
        return SolveConfig(game=game, size=size).depth

    assert depth("mini-hanabi") == depth("comm", 7) == 0
    assert depth("simple-bidding", 16) == depth("two-suit-bridge", 5) == 3
    assert depth("simple-bidding", 8) == depth("simple-bidding", 4) == 4
    assert depth("openspiel:tiny_hanabi") == 2


@pytest.mark.parametrize("name", list(GAMES))
def test_the_catalog_describes_the_games(name: str):
    spec = GAMES[name]
    tree = build_tree(make_game(name, max(spec.smallest, 2) if spec.size_meaning else None))
    assert spec.cooperative == tree.is_common_payoff
    assert tree.game_id.partition(":")[0] == name
    assert spec.summary
