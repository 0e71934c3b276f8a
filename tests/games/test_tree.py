"""The tree as arrays: counts of the paper's table, the layout's promises, refusals."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.games.random_games import RandomGame, RandomPublicGame, any_games, public_games
from trine.core.errors import DataError
from trine.games.catalog import GAMES, make_game
from trine.games.game import CHANCE, TERMINAL, Deals, Game, PublicActionGame
from trine.games.tree import CHANCE_NODE, LEAF, Tree, build_tree


def leaf_keys(name: str, size: int | None, decision_sets: int) -> int:
    """Distinct leaf keys, which the paper counts as information sets (spec, section 4)."""
    match name, size:
        case "comm", int(bits):
            return 4**bits
        case "simple-bidding", int(cards):
            return decision_sets - cards
        case "two-suit-bridge", int(hand):
            return decision_sets - (hand + 1)
        case _:
            return 36  # Mini-Hanabi: 4 deals under 9 pairs of actions


# Tian et al. 2020, Table 1: states and information sets (leaf keys and the root included); the
# decision sets follow from the rules (spec, section 4).
PAPER_COUNTS = [
    ("comm", 3, 633, 129, 64),
    ("comm", 5, 34785, 2049, 1024),
    ("comm", 6, 270273, 8193, 4096),
    ("comm", 7, 2129793, 32769, 16384),
    ("mini-hanabi", None, 53, 45, 8),
    ("simple-bidding", 4, 241, 61, 32),
    ("simple-bidding", 8, 1985, 249, 128),
    ("simple-bidding", 16, 16129, 1009, 512),
    ("two-suit-bridge", 3, 4081, 1021, 512),
    ("two-suit-bridge", 4, 25576, 5116, 2560),
    ("two-suit-bridge", 5, 147421, 24571, 12288),
]


@pytest.mark.parametrize(("name", "size", "states", "info_sets", "decision_sets"), PAPER_COUNTS)
def test_counts_equal_the_papers_table(name, size, states, info_sets, decision_sets):
    tree = build_tree(make_game(name, size))
    assert tree.num_states == states
    assert tree.num_info_sets == decision_sets
    assert decision_sets + leaf_keys(name, size, decision_sets) + 1 == info_sets


@pytest.mark.parametrize(
    # OpenSpiel: kuhn_poker and leduc_poker (information sets of Leduc: 2 players, 468 each).
    ("name", "info_sets"), [("kuhn", 12), ("leduc", 936)],
)  # fmt: skip
def test_poker_has_the_known_number_of_information_sets(name, info_sets):
    assert build_tree(make_game(name)).num_info_sets == info_sets


@pytest.mark.parametrize("name", list(GAMES))
def test_catalog_games_state_their_size(name):
    size = max(GAMES[name].smallest, 3) if GAMES[name].size_meaning else None
    game = make_game(name, size)
    if isinstance(game, PublicActionGame) and hasattr(game, "num_states"):
        assert build_tree(game).num_states == getattr(game, "num_states")  # noqa: B009


def check_layout(tree: Tree) -> None:
    """Everything that `Tree` promises and every method relies on."""
    nodes = np.arange(tree.num_states)
    is_leaf, is_chance = tree.info_set == LEAF, tree.info_set == CHANCE_NODE
    is_decision = tree.info_set >= 0
    assert np.all(is_leaf | is_chance | is_decision)

    # Levels: contiguous, parents exactly one level above their children.
    assert tree.level_start[0] == 0
    assert tree.level_start[-1] == tree.num_states
    assert np.all(np.diff(tree.level_start) > 0)
    level = np.searchsorted(tree.level_start, nodes, side="right") - 1
    assert tree.parent[0] == -1
    assert np.all(level[tree.parent[1:]] == level[1:] - 1)

    # Children lie at first_child + a * stride, and that is all of them.
    seen = np.zeros(tree.num_states, dtype=int)
    for h in nodes[~is_leaf]:
        if is_chance[h]:
            c = int(np.searchsorted(tree.chance_node, h))
            children = np.arange(tree.chance_start[c + 1] - tree.chance_start[c])
        else:
            children = np.arange(tree.num_actions(int(tree.info_set[h]))) * tree.child_stride
        assert np.all(tree.parent[tree.first_child[h] + children] == h)
        seen[tree.first_child[h] + children] += 1
    assert seen[0] == 0
    assert np.all(seen[1:] == 1)
    assert np.all(tree.first_child[is_leaf] == -1)
    assert np.all(tree.payoff[:, ~is_leaf] == 0)
    assert np.array_equal(tree.chance_node, nodes[is_chance])

    # Slots: the decision nodes in level order, partitioned into information sets.
    assert np.array_equal(tree.slot_node, nodes[is_decision])
    assert np.array_equal(np.sort(tree.set_slots), np.arange(len(tree.slot_node)))
    assert np.all(np.diff(tree.set_start) > 0)
    set_of_slot = np.empty(len(tree.slot_node), dtype=int)
    set_of_slot[tree.set_slots] = np.repeat(np.arange(tree.num_info_sets), np.diff(tree.set_start))
    assert np.array_equal(set_of_slot, tree.info_set[tree.slot_node])
    assert np.array_equal(tree.slot_of_node[tree.slot_node], np.arange(len(tree.slot_node)))
    assert np.array_equal(
        tree.entry_info_set, np.repeat(np.arange(tree.num_info_sets), np.diff(tree.entry_start))
    )

    # Chance reach and own sequences, carried down node by node.
    chance, sequence = np.ones(tree.num_states), np.full((tree.num_states, tree.num_players), -1)
    for h in nodes[1:]:
        above = tree.parent[h]
        chance[h], sequence[h] = chance[above], sequence[above]
        if is_chance[above]:
            c = int(np.searchsorted(tree.chance_node, above))
            outcome = tree.chance_start[c] + h - tree.first_child[above]
            chance[h] *= tree.chance_probability[outcome]
        else:
            i = tree.info_set[above]
            action = (h - tree.first_child[above]) // tree.child_stride
            sequence[h, tree.player[i]] = tree.entry_start[i] + action
    np.testing.assert_allclose(tree.slot_chance, chance[tree.slot_node], rtol=1e-14)
    assert np.array_equal(tree.slot_sequence, sequence[tree.slot_node])
    # Perfect recall: all nodes of a set have the same own past, which comes earlier.
    own = tree.slot_sequence[np.arange(len(tree.slot_node)), tree.player[set_of_slot]]
    assert np.array_equal(own, tree.parent_entry[set_of_slot])
    assert np.all(tree.parent_entry < tree.entry_start[:-1])

    highest = np.full(tree.num_info_sets, tree.num_levels)
    np.minimum.at(highest, set_of_slot, level[tree.slot_node])
    if tree.num_info_sets:
        assert np.array_equal(tree.info_set_level, highest)


@settings(max_examples=60)
@given(any_games)
def test_layout_of_random_games(game):
    check_layout(build_tree(game))


@pytest.mark.parametrize("name", list(GAMES))
def test_layout_of_catalog_games(name):
    check_layout(build_tree(make_game(name, 2 if GAMES[name].size_meaning else None)))


@settings(max_examples=30)
@given(public_games)
def test_public_structure_points_to_the_same_nodes(game):
    tree = build_tree(game)
    public, num_deals = tree.public, len(game.deals().probability)
    assert public is not None
    for s in range(len(public.player)):
        here = 1 + s * num_deals + np.arange(num_deals)
        if public.player[s] == LEAF:
            assert np.all(tree.info_set[here] == LEAF)
            np.testing.assert_array_equal(
                tree.payoff[0, here], game.payoff(tuple(public.history(s)), public.cards)
            )
            continue
        mover = public.player[s]
        expected = public.first_info_set[s] + public.cards[:, mover]
        assert np.array_equal(tree.info_set[here], expected)
        assert np.all(tree.player[expected] == mover)
        for a in range(public.num_actions[s]):
            below = tree.first_child[here] + a * tree.child_stride
            child = public.first_child[s] + a
            assert np.array_equal(below, 1 + child * num_deals + np.arange(num_deals))
            assert public.parent[child] == s


def test_names_are_readable():
    tree = build_tree(make_game("kuhn"))
    names = [tree.info_set_name(i) for i in range(tree.num_info_sets)]
    assert names[:4] == ["P1 [J]", "P1 [Q]", "P1 [K]", "P2 [J] pass"]
    assert len(set(names)) == len(names)
    assert [tree.action_name(3, a) for a in range(2)] == ["pass", "bet"]


# -- refusals: one line each ----------------------------------------------------------------------


class BrokenPublic(RandomPublicGame):
    """A sound public game with one thing replaced."""

    def __init__(self, **replaced: Any) -> None:
        super().__init__(3)
        self.name = "broken"
        for method, value in replaced.items():
            setattr(self, method, value)


class Broken(RandomGame):
    """A sound general game with one thing replaced."""

    def __init__(self, seed: int = 0, **replaced: Any) -> None:
        super().__init__(seed)
        self.name = "broken"
        for method, value in replaced.items():
            setattr(self, method, value)


class Forgetful:
    """A player who moves twice and forgets the first move in between."""

    name = "forgetful"
    num_players = 1

    def root(self) -> tuple[int, ...]:
        return ()

    def player(self, state: tuple[int, ...]) -> int:
        return TERMINAL if len(state) == 2 else 0

    def actions(self, state: tuple[int, ...]) -> list[int]:
        return [0, 1]

    def chance(self, state: tuple[int, ...]) -> list[tuple[int, float]]:
        return []

    def apply(self, state: tuple[int, ...], action: int) -> tuple[int, ...]:
        return (*state, action)

    def info_set(self, state: tuple[int, ...]) -> str:
        return "second" if state else "first"

    def payoff(self, state: tuple[int, ...]) -> float:
        return float(sum(state))


class Absentminded(Forgetful):
    """The same information set twice on one path."""

    def info_set(self, state: tuple[int, ...]) -> str:
        return "always"


class Uneven(Forgetful):
    """States that look alike but offer different actions."""

    def root(self) -> tuple[int, ...]:
        return ()

    def player(self, state: tuple[int, ...]) -> int:
        return (CHANCE, 0, TERMINAL)[len(state)]

    def chance(self, state: tuple[int, ...]) -> list[tuple[int, float]]:
        return [(0, 0.5), (1, 0.5)]

    def actions(self, state: tuple[int, ...]) -> list[int]:
        return [0, 1] if state == (0,) else [0, 1, 2]

    def info_set(self, state: tuple[int, ...]) -> str:
        return "either"


class Endless(Forgetful):
    """A game that never ends."""

    def player(self, state: tuple[int, ...]) -> int:
        return 0

    def info_set(self, state: tuple[int, ...]) -> Any:
        return state


def deals(cards: list[list[int]], probability: list[float]) -> Any:
    return lambda: Deals(np.array(cards), np.array(probability))


REFUSED = [
    (BrokenPublic(deals=deals([[0, 0], [1, 0]], [0.5, 0.4])), "sum to 0.9 "),
    (BrokenPublic(deals=deals([[0, 0], [1, 0]], [1.5, -0.5])), "minimum -0.5"),
    (BrokenPublic(deals=deals([[0, 0], [2, 0]], [0.5, 0.5])), "numbered 0, 1, 2"),
    (BrokenPublic(deals=deals([[0, 0], [1, 0]], [1.0])), r"shape \(2, 2\)"),
    (BrokenPublic(deals=deals([[0, 0, 0]], [1.0])), r"expected \[deals, 2\]"),
    (BrokenPublic(payoff=lambda s, cards: np.full(len(cards), np.nan)), "not a finite number"),
    (BrokenPublic(payoff=lambda s, cards: np.zeros((len(cards), 3))), "payoff.. returned shape"),
    (BrokenPublic(player=lambda s: 7), "player.. returned 7"),
    (BrokenPublic(actions=lambda s: []), "no action at"),
    (Broken(chance=lambda s: [(0, 0.7), (1, 0.7)]), "sum to 1.4;"),
    (Broken(chance=lambda s: [(0, -0.5), (1, 1.5)]), "non-negative"),
    (Broken(payoff=lambda s: float("inf")), "not a finite number"),
    (Broken(payoff=lambda s: [1.0] * 5), "returned 5 numbers"),
    (Broken(player=lambda s: 9), "player 9"),
    (Broken(actions=lambda s: []), "0 actions"),
    (Forgetful(), "imperfect recall: player 1 reaches information set 'second'"),
    (Absentminded(), "imperfect recall: player 1 reaches information set 'always'"),
    (Uneven(), "information set 'either' has actions"),
]


@pytest.mark.parametrize(("game", "message"), REFUSED)
def test_a_wrong_game_is_refused_in_one_line(game, message):
    with pytest.raises(DataError, match=message) as error:
        build_tree(game)
    assert "\n" not in str(error.value)
    assert game.name in str(error.value)


def test_something_else_is_not_a_game():
    with pytest.raises(DataError, match="dict is not a game"):
        build_tree({})  # pyright: ignore[reportArgumentType]  # the mistake under test


@pytest.mark.parametrize(
    ("name", "size", "figure"),
    [
        # N^2 (2^(m+1) - 1) + 1 states with m = 18 bids
        ("simple-bidding", 100_000, r"10\^15 states"),
        ("simple-bidding", 2_000, r"32,764,000,001 states, about 1,[0-9]{3},[0-9]{3} MiB"),
        ("comm", 99, r"10\^89 states"),
        ("comm", 5000, r"10\^4515 states"),
        ("two-suit-bridge", 30, r"10\^21 states"),
    ],
)
def test_a_game_too_large_for_memory_is_refused_before_it_is_built(name, size, figure):
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=figure) as error:
            build_tree(make_game(name, size))
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()
    assert "limit is 8,192 MiB" in str(error.value)


@pytest.mark.parametrize("game", [Endless(), BrokenPublic(player=lambda s: len(s) % 2)])
def test_a_game_that_does_not_state_its_size_is_refused_when_it_passes_the_limit(game):
    game.actions = lambda state: range(2)
    with pytest.raises(DataError, match=r"at least [0-9,]+ states"):
        build_tree(game, memory_limit=2**20)


def test_the_protocols_are_told_apart():
    assert isinstance(RandomPublicGame(0), PublicActionGame)
    assert not isinstance(RandomPublicGame(0), Game)
    assert isinstance(RandomGame(0), Game)
    assert not isinstance(RandomGame(0), PublicActionGame)
