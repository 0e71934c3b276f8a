"""Changed starts: what is changed, who won, and how shares are counted."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.assembly import (
    batches_of,
    descent_of,
    evaluation_inputs,
    students_of,
    teachers_of,
)
from trine.dynamics.config import make_run_config
from trine.dynamics.counterfactual import (
    AS_NEAR,
    Case,
    as_near_cases,
    change_starts,
    make_cases,
    outcomes,
    predictors,
    redraw_around,
    run_counterfactuals,
)
from trine.dynamics.initialise import make_student
from trine.dynamics.measures.loss import evaluation_loss
from trine.dynamics.measures.matching import match_stacks
from trine.dynamics.training import train

SHAPE = Architecture(4, (8, 6), 3)
SMALL = make_run_config(
    "deep", teacher="3", inputs=6, outputs=20, over=6, epochs=1,
    data={"std": 5.0, "samples": 6_000, "evaluation": 1_000}, descent={"batch": 32},
)  # fmt: skip


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def nearness(teachers: int = 3, students: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (teachers, students))


@given(st.integers(1, 4), st.integers(10, 16), st.integers(1, 2), st.integers(0, 2**31))
def test_cases_touch_the_nodes_that_they_say(
    teachers: int, students: int, top: int, seed: int
) -> None:
    near = nearness(teachers, students, seed)
    cases = make_cases(near, generator(), alive=np.ones(teachers), top=top)
    order = np.argsort(-near, axis=1)
    predicted = set(order[:, :top].ravel().tolist())
    assert [c.condition for c in cases[:2]] == ["original", "other data"]
    assert len(cases) == 2 + 3 * teachers
    for case in cases[2:]:
        mine, runner_up = order[case.node, :top].tolist(), order[case.node, top]
        if case.condition == "redraw":
            assert list(case.touched) == mine
        elif case.condition == "swap":
            assert case.touched[0] == mine[0]
            assert case.touched[1] not in {*predicted, runner_up}
        else:
            assert len(set(case.touched)) == top
            assert not {*predicted, runner_up} & set(case.touched)


def test_dead_teacher_nodes_are_not_asked_about() -> None:
    cases = make_cases(nearness(), generator(), alive=[True, False, True])
    assert {case.node for case in cases} == {-1, 0, 2}


def test_a_student_without_other_nodes_is_refused() -> None:
    with pytest.raises(UsageError, match="nobody's predicted winner"):
        make_cases(np.eye(3), generator(), alive=np.ones(3))


def test_starts_are_changed_in_their_rows_only() -> None:
    student = make_student(SHAPE, Seeds(0))
    other = make_student(SHAPE, Seeds(1))
    cases = [Case("original"), Case("redraw", 0, (5, 2)), Case("swap", 0, (1, 4))]
    changed = change_starts(student, cases, 1, lambda _: other)
    for layer in (0, 2):
        for number in range(3):
            torch.testing.assert_close(changed.weights[layer][number], student.weights[layer][0])
    before, after = student.weights[1][0], changed.weights[1]
    bias, biases = student.biases[1][0], changed.biases[1]
    torch.testing.assert_close(after[0], before)
    same = [0, 1, 3, 4]
    torch.testing.assert_close(after[1, same], before[same])
    torch.testing.assert_close(after[1, [2, 5]], other.weights[1][0, [2, 5]])
    torch.testing.assert_close(biases[1, [2, 5]], other.biases[1][0, [2, 5]])
    torch.testing.assert_close(after[2], before[[0, 4, 2, 3, 1, 5]])
    torch.testing.assert_close(biases[2], bias[[0, 4, 2, 3, 1, 5]])


def test_a_redraw_may_keep_nearness_and_nothing_else() -> None:
    # Wide, so that rows drawn anew are nearly at right angles to the old ones.
    shape = Architecture(400, (8,), 3)
    student, other, teacher = (make_student(shape, Seeds(k)) for k in range(3))
    cases = as_near_cases([Case("original"), Case("redraw", 1, (5, 2)), Case("control", 1, (3, 4))])
    assert cases == [Case(AS_NEAR, 1, (5, 2))]
    changed = change_starts(student, cases, 0, lambda _: other, teacher)
    old, new = student.weights[0][0], changed.weights[0][0]
    target = teacher.weights[0][0, 1]
    torch.testing.assert_close(new @ target, old @ target)
    torch.testing.assert_close(new.norm(dim=1), old.norm(dim=1))
    torch.testing.assert_close(changed.biases[0], student.biases[0])
    kept = torch.cosine_similarity(new, old, dim=1)
    assert kept[[5, 2]].abs().max() < 0.3
    torch.testing.assert_close(kept[[0, 1, 3, 4, 6, 7]], torch.ones(6).to(kept))
    with pytest.raises(UsageError, match="nearness kept in layer 0"):
        change_starts(student, cases, 0, lambda _: other)


def test_redraw_around_by_hand() -> None:
    old, new = torch.tensor([[3.0, 4.0, 0.0]]), torch.tensor([[7.0, 0.0, -2.0]])
    made = redraw_around(old, new, torch.tensor([2.0, 0.0, 0.0]))
    assert made.tolist() == [[3.0, 0.0, -4.0]]


def test_outcomes_by_hand() -> None:
    start = np.array([[0.9, 0.5, 0.1, 0.0], [0.0, 0.2, 0.8, 0.3]])
    swapped = start[:, [3, 1, 2, 0]]  # node 0's weights are now at 3
    initial = np.stack([start, start, swapped])
    cases = [Case("original"), Case("redraw", 0, (0,)), Case("swap", 0, (0, 3))]
    final = np.zeros((3, 2, 4))
    final[0, 0, 0] = final[0, 1, 3] = 0.9  # the nearest wins node 0, another one node 1
    final[1, 0, 1] = 0.8  # the runner-up takes over
    final[2, 0, 3] = 0.7  # the win goes with the weights
    found = outcomes(cases, initial, final, alive=[True, True])
    assert found["condition"].to_list() == ["original", "original", "redraw", "swap"]
    assert found["lucky"].to_list() == [True, False, True, True]
    assert found["again"].to_list() == [True, True, False, False]
    assert found["predicted"].to_list() == [True, False, False, False]
    assert found["runner_up"].to_list() == [False, True, True, False]
    assert found["carrier"].to_list() == [False, False, False, True]
    assert found["winner"].to_list() == [0, 3, 1, 3]
    assert found["rank"].to_list() == [0, 1, 1, 0]  # at 3, the weights are the nearest again
    assert found["best"].to_list() == [0.9, 0.9, 0.8, 0.7]


def test_counterfactuals_share_their_data_and_take_the_win_away() -> None:
    frame = pl.concat([run_counterfactuals(SMALL, seed) for seed in range(3)])
    original = frame.filter(pl.col("condition") == "original")
    assert original["again"].all()
    assert len(frame) == 3 * 3 * 6  # seeds, teacher nodes, conditions
    lucky = frame.filter(pl.col("lucky"))
    redrawn = lucky.filter(pl.col("condition") == "redraw")["again"].to_numpy().mean()
    control = lucky.filter(pl.col("condition") == "control")["again"].to_numpy().mean()
    assert redrawn < control
    # The same nodes are as near as they were, and their ranks say so.
    nearer = lucky.filter(pl.col("condition") == AS_NEAR)
    assert len(nearer) == len(lucky.filter(pl.col("condition") == "redraw"))
    assert original["best"].to_numpy().mean() > 0.8


def test_predictors_by_hand() -> None:
    near = [[0.9, 0.8, 0.0, 0.0]]
    overlap = [[-1.0, 1.0, 0.0, 0.0]]  # of two that are about as near, the second is pulled
    found = predictors(near, overlap, [[0, 1, 0, 0]])
    assert found["rank_nearness"].tolist() == [1]
    assert found["rank_overlap"].tolist() == [0]
    assert found["rank_both"].tolist() == [0]
    equal = predictors([[0.5, 0.5]], [[2.0, 2.0]], [[0, 1]])
    assert equal["rank_both"].tolist() == [0]  # constants are no reason to divide by zero


def test_predictors_are_known_for_the_original_of_a_top_layer() -> None:
    frame = run_counterfactuals(SMALL, 0)
    original = frame.filter(pl.col("condition") == "original")
    assert original["rank_nearness"].to_list() == original["rank"].to_list()
    assert frame["rank_both"].null_count() == len(frame) - len(original)
    few = SMALL.data.model_copy(update={"samples": 320})
    deep = SMALL.model_copy(update={"teacher": "3-4", "data": few})
    assert run_counterfactuals(deep, 0)["rank_both"].null_count() == 3 * 6


def test_the_same_seed_gives_the_same_counterfactuals() -> None:
    first, second = (run_counterfactuals(SMALL, 1) for _ in range(2))
    assert first.equals(second)


def test_the_original_is_what_training_alone_gives() -> None:
    """A network trained in a stack of cases, and the same one trained by itself."""
    seeds = [Seeds(2)]
    teacher, student = teachers_of(SMALL, seeds), students_of(SMALL, seeds)
    list(train(student, batches_of(SMALL, teacher, seeds), descent_of([SMALL]), epochs=1))
    alone = match_stacks(teacher, student, evaluation_inputs(SMALL, seeds))
    frame = run_counterfactuals(SMALL, 2).filter(pl.col("condition") == "original")
    np.testing.assert_allclose(frame["best"], alone.best(0)[0].numpy(), atol=1e-4)
    assert frame["winner"].to_list() == alone.winners(0)[0].tolist()


def test_matching_and_loss_of_many_networks_are_those_of_each() -> None:
    seeds = [Seeds(0), Seeds(1)]
    teachers, students = teachers_of(SMALL, seeds), students_of(SMALL, seeds)
    inputs = evaluation_inputs(SMALL, seeds)
    source = [1, 0] * 10
    many = students.select(source)
    matching = match_stacks(teachers, many, inputs, source)
    loss = evaluation_loss(teachers, many, inputs, source)
    for network in (0, 17):
        place = source[network]
        part = inputs[place : place + 1]
        one = match_stacks(teachers.select([place]), students.select([place]), part)
        torch.testing.assert_close(
            matching.correlation[0][network], one.correlation[0][0], atol=1e-6, rtol=0
        )
        error = (
            teachers.select([place]).forward(part).output
            - students.select([place]).forward(part).output
        )
        assert loss[network].item() == pytest.approx(error.double().square().mean().item())
