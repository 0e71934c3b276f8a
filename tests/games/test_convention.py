"""Policies as people read them: golden tables, and where deals end, against playing them out."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from tests.games.random_games import AsGame, public_games, random_or_pure_policy, seeds
from trine.games.catalog import make_game
from trine.games.convention import convention_table, final_states
from trine.games.policy import TabularPolicy, most_likely_actions, pure_policy, uniform_policy
from trine.games.tree import LEAF, Tree, build_tree


def play(tree: Tree, choice: dict[str, int]) -> TabularPolicy:
    """The pure policy with these actions, action 0 elsewhere."""
    names = [tree.info_set_name(i) for i in range(tree.num_info_sets)]
    assert set(choice) <= set(names)
    return pure_policy(tree, np.array([choice.get(name, 0) for name in names]))


def rows(table: pl.DataFrame) -> list[tuple[object, ...]]:
    return table.rows()


# Optimum of Mini-Hanabi (spec, section 4.2): player 1 plays 2 with card 0 and 0 with card 1.
HANABI = {"P1 [0]": 2, "P2 [0] 0": 2, "P2 [1] 2": 2}


def test_mini_hanabi_optimum_as_a_table():
    tree = build_tree(make_game("mini-hanabi"))
    table = convention_table(tree, play(tree, HANABI))
    assert rows(table) == [
        (0, 1, "", "1", "0", 0.5),
        (0, 1, "", "0", "2", 0.5),
        (1, 2, "0", "1", "0", 0.25),
        (1, 2, "0", "0", "2", 0.25),
        (1, 2, "2", "0", "0", 0.25),
        (1, 2, "2", "1", "2", 0.25),
    ]


def test_runs_of_cards_are_drawn_together():
    # Player 1 bids 1 with 0 and 1, 2 with 2 and 4 to 7, 3 with 3; player 2 passes.
    tree = build_tree(make_game("simple-bidding", 8))
    choice = {f"P1 [{card}]": 1 for card in (2, 4, 5, 6, 7)} | {"P1 [3]": 2}
    table = convention_table(tree, play(tree, choice))
    first = table.filter(pl.col("depth") == 0)
    assert first["cards"].to_list() == ["0 1", "2 4-7", "3"]
    assert first["action"].to_list() == ["1", "2", "3"]
    assert first["probability"].to_list() == pytest.approx([2 / 8, 5 / 8, 1 / 8])
    second = table.filter(pl.col("depth") == 1)
    assert second["cards"].to_list() == ["0-7"] * 3
    assert second["action"].to_list() == ["0"] * 3


def test_mixed_actions_show_how_often():
    tree = build_tree(make_game("comm", 1))
    policy = play(tree, {})
    (i,) = [i for i in range(tree.num_info_sets) if tree.info_set_name(i) == "P1 [0]"]
    policy.probabilities[tree.entry_start[i] : tree.entry_start[i + 1]] = [0.996, 0.004]
    (j,) = [j for j in range(tree.num_info_sets) if tree.info_set_name(j) == "P1 [1]"]
    policy.probabilities[tree.entry_start[j] : tree.entry_start[j + 1]] = [0.25, 0.75]
    first = convention_table(tree, policy).filter(pl.col("depth") == 0)
    # 0.4 percent of card 0 is below what is shown, and 99.6 percent counts as sure.
    assert first["cards"].to_list() == ["0 1(25%)", "1(75%)"]
    assert first["probability"].to_list() == pytest.approx([0.623, 0.377])


def test_rare_situations_are_left_out():
    tree = build_tree(make_game("comm", 1))
    table = convention_table(tree, play(tree, {}))
    assert table["history"].to_list() == ["", "0"]  # bit 1 is never sent


def test_a_game_without_public_structure_shows_its_own_labels():
    game = make_game("mini-hanabi")
    tree = build_tree(AsGame(game))  # pyright: ignore[reportArgumentType] (public)
    assert tree.public is None
    table = convention_table(tree, play(tree, HANABI))
    assert sorted(rows(table)) == [
        (1, 1, "P1 [0]", "", "2", 0.5),
        (1, 1, "P1 [1]", "", "0", 0.5),
        (2, 2, "P2 [0] 0", "", "2", 0.25),
        (2, 2, "P2 [0] 2", "", "0", 0.25),
        (2, 2, "P2 [1] 0", "", "0", 0.25),
        (2, 2, "P2 [1] 2", "", "2", 0.25),
    ]


@settings(max_examples=60)
@given(public_games, seeds)
def test_probabilities_of_a_situation_add_up_to_how_often_it_comes(game, seed):
    tree = build_tree(game)
    policy = random_or_pure_policy(tree, seed)
    table = convention_table(tree, policy)
    assert table.columns == ["depth", "player", "history", "cards", "action", "probability"]
    first = table.filter(pl.col("depth") == 0)
    if len(first):
        shown = float(first["probability"].sum())
        assert shown <= 1 + 1e-9
        assert shown >= 1 - 0.005 * tree.num_actions(0) - 1e-9
    deeper = table.filter(pl.col("depth") > 0).group_by("history").agg(pl.col("probability").sum())
    for history, probability in deeper.rows():
        above, _, action = history.rpartition(" ")
        led = table.filter((pl.col("history") == above) & (pl.col("action") == action))
        assert probability <= float(led["probability"].sum()) + 1e-9


@settings(max_examples=60)
@given(public_games, seeds)
def test_deals_end_where_playing_them_out_ends(game, seed):
    tree = build_tree(game)
    public = tree.public
    assert public is not None
    policy = random_or_pure_policy(tree, seed)
    actions = most_likely_actions(tree, policy)
    end = final_states(public, tree, policy)
    for k, cards in enumerate(public.cards):
        s = 0
        while public.player[s] != LEAF:
            card = int(cards[public.player[s]])
            s = int(public.first_child[s]) + int(actions[int(public.first_info_set[s]) + card])
        assert end[k] == s
        node = 1 + s * len(public.cards) + k
        assert tree.info_set[node] == LEAF


def test_an_undecided_policy_ends_by_the_first_of_the_likeliest():
    tree = build_tree(make_game("simple-bidding", 4))
    public = tree.public
    assert public is not None
    end = final_states(public, tree, uniform_policy(tree))
    assert {tuple(public.history(int(s))) for s in end} == {(1, 0)}
