"""Policies: what is made, what is stored, and what is refused as one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.games.random_games import any_games, random_or_pure_policy, seeds
from trine.core.artifacts import write_arrays
from trine.core.errors import DataError
from trine.games.catalog import make_game
from trine.games.policy import (
    TabularPolicy,
    check_policy,
    load_policy,
    most_likely_actions,
    pure_policy,
    purified,
    random_policy,
    random_pure_policy,
    save_policy,
    set_sums,
    uniform_policy,
)
from trine.games.tree import Tree, build_tree


@pytest.fixture(scope="module")
def tree() -> Tree:
    return build_tree(make_game("simple-bidding", 4))


@pytest.fixture
def file(tree: Tree, tmp_path: Path) -> Path:
    path = tmp_path / "policy.safetensors"
    save_policy(random_policy(tree, np.random.default_rng(0)), path)
    return path


def refusal(path: Path, tree: Tree) -> str:
    with pytest.raises(DataError) as caught:
        load_policy(path, tree)
    message = str(caught.value)
    assert "\n" not in message
    return message


# ---- making -------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(any_games, seeds)
def test_rows_are_probabilities_and_purified_plays_the_likeliest(game, seed):
    tree = build_tree(game)
    if tree.num_info_sets == 0:
        return
    generator = np.random.default_rng(seed)
    for policy in (
        uniform_policy(tree),
        random_policy(tree, generator),
        random_pure_policy(tree, generator),
        random_or_pure_policy(tree, seed),
    ):
        check_policy(tree, policy)
        np.testing.assert_allclose(set_sums(tree, policy.probabilities), 1, atol=1e-12)
        rows = [
            policy.probabilities[start:end]
            for start, end in zip(tree.entry_start[:-1], tree.entry_start[1:], strict=True)
        ]
        chosen = [int(np.argmax(row)) for row in rows]  # the first of several
        assert most_likely_actions(tree, policy).tolist() == chosen
        pure = purified(tree, policy)
        assert pure.is_pure()
        assert np.array_equal(pure.probabilities, pure_policy(tree, np.array(chosen)).probabilities)
        assert policy.is_pure() == all(row.max() == 1 for row in rows)


def test_uniform_and_random(tree: Tree):
    assert set(uniform_policy(tree).probabilities) == {1 / 3, 1 / 2, 1.0}
    one, same, other = (random_policy(tree, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one.probabilities, same.probabilities)
    assert not np.array_equal(one.probabilities, other.probabilities)
    assert np.all(one.probabilities > 0)


def test_the_first_of_several_likeliest_actions_is_taken(tree: Tree):
    assert not most_likely_actions(tree, uniform_policy(tree)).any()


# ---- storing ------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(any_games, seeds)
def test_a_saved_policy_comes_back_bit_by_bit(tmp_path_factory, game, seed):
    tree = build_tree(game)
    policy = random_or_pure_policy(tree, seed)
    path = tmp_path_factory.mktemp("policies") / "deep" / "policy.safetensors"
    save_policy(policy, path)
    loaded = load_policy(path, tree)
    assert loaded.game_id == tree.game_id
    assert loaded.probabilities.dtype == np.float64
    assert np.array_equal(loaded.probabilities, policy.probabilities)
    assert [p.name for p in path.parent.iterdir()] == ["policy.safetensors"]  # nothing half-written


def test_a_missing_file_is_refused(tree: Tree, tmp_path: Path):
    assert refusal(tmp_path / "none.safetensors", tree).startswith(f"no file {tmp_path}/none")
    assert refusal(tmp_path, tree).startswith(f"cannot read {tmp_path}: Is a directory")


def test_a_policy_of_another_game_is_refused(file: Path):
    other = build_tree(make_game("simple-bidding", 8))
    assert "the policy is for simple-bidding:4, the tree for simple-bidding:8" in refusal(
        file, other
    )


@settings(max_examples=60)
@given(st.data())
def test_a_truncated_file_is_refused(tree: Tree, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("policies") / "policy.safetensors"
    save_policy(uniform_policy(tree), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert "is not a whole safetensors file" in refusal(path, tree)


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_garbage_is_refused(tree: Tree, tmp_path_factory, content):
    path = tmp_path_factory.mktemp("policies") / "policy.safetensors"
    path.write_bytes(content)
    # Some garbage is an empty safetensors file; it is no policy either.
    assert " is not a " in refusal(path, tree)


@settings(max_examples=150)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_damaged_file_is_refused_or_a_policy(tree: Tree, tmp_path_factory, position, bit):
    """One flipped bit anywhere: a clear line, or what is loaded is a policy all the same."""
    path = tmp_path_factory.mktemp("policies") / "policy.safetensors"
    save_policy(uniform_policy(tree), path)
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        check_policy(tree, load_policy(path, tree))
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({"values": np.ones(3)}, {"game_id": "simple-bidding:4"}, "it holds ['values']; expected"),
        ({"probabilities": np.ones(56)}, {}, "is not a policy file"),
        (
            {"probabilities": np.ones(3)},
            {"game_id": "simple-bidding:4"},
            "has (3,) float64 entries; expected (56,) float64",
        ),
        (
            {"probabilities": np.ones((56, 1))},
            {"game_id": "simple-bidding:4"},
            "has (56, 1) float64 entries",
        ),
        (
            {"probabilities": np.ones(56, dtype=np.float32)},
            {"game_id": "simple-bidding:4"},
            "has (56,) float32 entries",
        ),
        (
            {"probabilities": np.ones(56)},
            {"game_id": "simple-bidding:4"},
            "rows that do not sum to 1",
        ),
    ],
)
def test_another_array_file_is_refused(
    arrays: dict[str, np.ndarray],
    metadata: dict[str, str],
    message: str,
    tree: Tree,
    tmp_path: Path,
):
    assert tree.num_entries == 56
    path = tmp_path / "policy.safetensors"
    write_arrays(path, arrays, metadata)
    assert message in refusal(path, tree)


@pytest.mark.parametrize("bad", [-0.5, 1.5, np.nan, np.inf])
def test_a_wrong_number_is_refused(bad: float, tree: Tree):
    probabilities = uniform_policy(tree).probabilities.copy()
    probabilities[7] = bad
    with pytest.raises(DataError, match="negative probabilities or rows that do not sum to 1"):
        check_policy(tree, TabularPolicy(tree.game_id, probabilities))
    # A negative number whose row sums to 1 all the same.
    first = tree.entry_start[0]
    probabilities = uniform_policy(tree).probabilities.copy()
    probabilities[first : first + 3] = [-0.5, 0.75, 0.75]
    with pytest.raises(DataError, match="negative probabilities"):
        check_policy(tree, TabularPolicy(tree.game_id, probabilities))


def test_rounding_is_not_a_mistake(tree: Tree):
    probabilities = uniform_policy(tree).probabilities * (1 + 1e-12)
    check_policy(tree, TabularPolicy(tree.game_id, probabilities))
