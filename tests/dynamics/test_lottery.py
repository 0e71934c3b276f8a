"""Lottery tickets: which nodes are kept, what a ticket computes, how sets overlap."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.assembly import evaluation_inputs, students_of, teachers_of
from trine.dynamics.config import make_run_config
from trine.dynamics.initialise import make_student
from trine.dynamics.lottery import (
    CONTROLS,
    TICKETS,
    influences,
    keep_of_stack,
    nearest_nodes,
    overlap,
    rescale_like,
    run_lottery,
    top_nodes,
    winning_nodes,
)
from trine.dynamics.measures.l_shape import fan_out_norms
from trine.dynamics.measures.matching import Matching
from trine.dynamics.stack import Stack

SHAPE = Architecture(5, (7, 6), 3)
SMALL = make_run_config(
    "deep", teacher="4-5", inputs=6, outputs=8, over=4, epochs=1,
    data={"samples": 4_000, "evaluation": 1_000}, descent={"batch": 32},
)  # fmt: skip


def networks(shape: Architecture = SHAPE, count: int = 2) -> Stack:
    return Stack.concatenate([make_student(shape, Seeds(n)) for n in range(count)])


def matching(correlation: torch.Tensor, alive: torch.Tensor) -> Matching:
    active = alive.double()
    students = torch.ones(correlation.shape[0], correlation.shape[2]).double()
    return Matching([correlation], [active], [students], [100])


def test_top_nodes_by_hand() -> None:
    scores = torch.tensor([[0.1, 3.0, 2.0, 0.0], [5.0, 1.0, 2.0, 9.0]])
    assert top_nodes(scores, 2).tolist() == [[1, 2], [0, 3]]
    with pytest.raises(UsageError, match="5 of 4 nodes"):
        top_nodes(scores, 5)


def test_winners_shared_and_dead_are_filled_up_with_the_next_nearest() -> None:
    rows = torch.tensor(
        [[[0.2, 0.9, 0.1, 0.0], [0.1, 0.8, 0.3, 0.5], [0.0, 0.1, 0.2, 0.95]]], dtype=torch.float64
    )
    alive = torch.tensor([[True, True, False]])
    # Node 1 wins both teacher nodes alive; of the others, 3 comes nearest to one of these (0.5).
    found = matching(rows, alive)
    assert nearest_nodes(rows, alive).tolist() == [[False, True, False, False]]
    assert winning_nodes(found, 0, 2).tolist() == [[1, 3]]
    everyone = matching(rows, torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(UsageError, match="1 nodes for 2 winners"):
        winning_nodes(everyone, 0, 1)


def test_a_ticket_computes_what_the_whole_does_with_the_others_cut_off() -> None:
    stack = networks()
    kept = [torch.tensor([[0, 3, 6], [1, 2, 5]]), torch.tensor([[4, 5], [0, 3]])]
    narrow = keep_of_stack(stack, kept)
    assert narrow.architecture.hidden == (3, 2)
    cut = stack.clone()
    for layer, nodes in enumerate(kept):
        for network in range(2):
            gone = [n for n in range(SHAPE.hidden[layer]) if n not in nodes[network].tolist()]
            cut.weights[layer + 1][network][:, gone] = 0
    inputs = torch.randn(2, 20, 5, generator=torch.Generator().manual_seed(0), dtype=stack.dtype)
    torch.testing.assert_close(narrow.forward(inputs).output, cut.forward(inputs).output)


def test_a_ticket_is_a_copy() -> None:
    stack = networks()
    everything = [torch.arange(n).expand(2, n) for n in SHAPE.hidden]
    copy = keep_of_stack(stack, everything)
    before = stack.weights[0].clone()
    copy.weights[0].zero_()
    copy.biases[2].zero_()
    torch.testing.assert_close(stack.weights[0], before)
    assert stack.biases[2].abs().min() > 0


def test_tickets_that_cannot_be_taken_are_refused() -> None:
    with pytest.raises(UsageError, match="1 hidden layers"):
        keep_of_stack(networks(), [torch.tensor([[0], [0]])])
    normed = networks(Architecture(5, (7, 6), 3, batch_norm="before_relu"))
    with pytest.raises(UsageError, match="BatchNorm"):
        keep_of_stack(normed, [torch.tensor([[0], [0]])] * 2)


def test_a_rescaled_ticket_has_the_bounds_of_a_narrow_start() -> None:
    wide = networks(Architecture(5, (400, 300), 3))
    kept = [torch.arange(40).expand(2, 40), torch.arange(30).expand(2, 30)]
    ticket = rescale_like(keep_of_stack(wide, kept), wide)
    for layer, fan_in in enumerate((5, 40, 30)):
        largest = ticket.weights[layer].abs().max().item()
        assert largest <= 1 / math.sqrt(fan_in)
        assert largest == pytest.approx(1 / math.sqrt(fan_in), rel=0.1)
        assert ticket.biases[layer].abs().max().item() <= 1 / math.sqrt(fan_in)


def test_influence_of_the_top_layer_is_the_fan_out_norm() -> None:
    stack = networks()
    inputs = torch.zeros(2, 30_000, 5, dtype=stack.dtype)
    found = influences(stack, inputs, np.random.default_rng(0))
    expected = fan_out_norms(stack).double()
    torch.testing.assert_close(found[1], expected, rtol=0.03, atol=0)
    assert found[0].shape == (2, 7)


def test_overlap_by_hand_and_its_p_value() -> None:
    ticket = np.array([[0, 1, 2], [3, 4, 5]])
    wanted = np.zeros((2, 10), dtype=bool)
    wanted[0, [0, 1]] = True
    wanted[1, [3, 9]] = True
    found = overlap(ticket, wanted, np.random.default_rng(0))
    assert found.share == pytest.approx((1 + 0.5) / 2)
    assert found.chance == 0.3
    assert (found.low, found.high) == (0.5, 1.0)
    one = np.array([math.comb(2, a) * math.comb(8, 3 - a) for a in range(3)]) / math.comb(10, 3)
    both = np.convolve(one, one)  # hits of the two seeds together, 0 to 4
    assert found.p_value == pytest.approx(both[3:].sum(), abs=0.01)
    with pytest.raises(UsageError, match="empty"):
        overlap(ticket, np.zeros((2, 10)), np.random.default_rng(0))


@given(st.integers(2, 4), st.integers(1, 4), st.integers(0, 2**31))
def test_overlap_does_not_depend_on_how_nodes_are_numbered(
    seeds: int, size: int, seed: int
) -> None:
    draws = np.random.default_rng(seed)
    ticket = np.stack([draws.permutation(9)[:size] for _ in range(seeds)])
    wanted = draws.random((seeds, 9)) < 0.5
    wanted[:, 0] = True
    order = draws.permutation(9)
    renumbered = np.empty_like(order)
    renumbered[order] = np.arange(9)
    first = overlap(ticket, wanted, np.random.default_rng(0))
    second = overlap(renumbered[ticket], wanted[:, order], np.random.default_rng(0))
    assert first == second
    assert 0 <= first.share <= 1


def test_random_tickets_overlap_as_chance_says() -> None:
    draws = np.random.default_rng(5)
    found: list[float] = []
    for _ in range(100):
        ticket = np.stack([draws.permutation(40)[:8] for _ in range(4)])
        wanted = np.zeros((4, 40), dtype=bool)
        wanted[:, :10] = True
        found.append(overlap(ticket, wanted, draws).p_value)
    # Hits are whole numbers, so that small p-values are at most as frequent as they say.
    assert np.mean(np.array(found) <= 0.1) <= 0.19


def test_a_whole_lottery() -> None:
    run = run_lottery(SMALL, [3, 4, 5], draws=2, marks=(10, 40))
    assert run.conditions == [*TICKETS, "winners, rescaled", "fan-out, rescaled", *CONTROLS * 2]
    assert run.steps == [0, 10, 40, 125]
    assert run.loss.shape == (len(run.conditions), 3, 4)
    assert run.best.shape == (len(run.conditions), 3, 2)
    assert (run.loss[..., -1] < run.loss[..., 0]).all()
    assert [t.shape for t in run.tickets["winners"]] == [(3, 4), (3, 5)]
    for layer, width in enumerate((16, 20)):
        winners, won = run.tickets["winners"][layer], run.won[layer]
        assert won.shape == (3, width)
        for network in range(3):
            assert set(np.flatnonzero(won[network])) <= set(winners[network].tolist())


def test_a_ticket_begins_with_the_values_of_the_wide_start() -> None:
    """Loss at step 0 of `predicted` equals that of the nodes taken from the start by hand."""
    run = run_lottery(SMALL, [3], draws=1)
    seeds = [Seeds(3)]
    kept = [torch.as_tensor(nodes) for nodes in run.tickets["predicted"]]
    narrow = keep_of_stack(students_of(SMALL, seeds), kept)
    teacher, inputs = teachers_of(SMALL, seeds), evaluation_inputs(SMALL, seeds)
    error = narrow.forward(inputs).output - teacher.forward(inputs).output
    place = run.conditions.index("predicted")
    assert run.loss[place, 0, 0] == pytest.approx(error.double().square().mean().item(), rel=1e-5)
