import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.dynamics.architecture import Architecture
from trine.dynamics.initialise import make_student, make_teacher
from trine.dynamics.measures.base import measure_modules, measure_stacks
from trine.dynamics.measures.matching import NodeMatching, Pearson
from trine.dynamics.networks import ReluNetwork
from trine.dynamics.stack import Stack

TEACHER = Architecture(5, (4, 6), 3)
SEEDS = [Seeds(0), Seeds(1)]


def stacks():
    teachers = Stack.concatenate([make_teacher(TEACHER, seeds) for seeds in SEEDS])
    students = Stack.concatenate([make_student(TEACHER.wider(3), seeds) for seeds in SEEDS])
    inputs = np.stack([s.generator("evaluation").standard_normal((3000, 5)) for s in SEEDS])
    return teachers, students, torch.as_tensor(inputs)


def matched(teachers, students, inputs):
    matching = NodeMatching()
    measure_stacks([matching], teachers, students, inputs)
    return matching.result()


@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(-1e4, 1e4), st.integers(1, 5))
def test_correlations_equal_numpys_however_the_samples_are_cut(seed, samples, far, parts):
    generator = np.random.default_rng(seed)
    first = generator.standard_normal((samples, 3)) + far
    second = generator.standard_normal((samples, 2))
    pearson = Pearson()
    for cut in np.array_split(np.arange(samples), parts):
        if len(cut):
            pearson.update(torch.as_tensor(first[cut])[None], torch.as_tensor(second[cut])[None])
    wanted = np.corrcoef(first.T, second.T)[:3, 3:]
    assert np.allclose(pearson.result()[0].numpy(), wanted, atol=1e-6)


def test_a_node_that_never_changes_correlates_with_nothing():
    values = torch.rand(1, 50, 2, dtype=torch.float64)
    constant = torch.full((1, 50, 1), 0.1, dtype=torch.float64)
    pearson = Pearson()
    pearson.update(constant, values)
    assert not pearson.result().any()
    with pytest.raises(UsageError, match="0 samples"):
        Pearson().result()


def test_a_student_that_holds_the_teacher_matches_it_wherever_it_is():
    teachers, _, inputs = stacks()
    order = [[2, 0, 3, 1], [5, 3, 1, 0, 2, 4]]
    student = teachers.clone()
    for layer, places in enumerate(order):
        # Renumber the nodes of a layer, and scale them: neither matters to a correlation.
        student.weights[layer] = 2 * student.weights[layer][:, places]
        student.biases[layer] = 2 * student.biases[layer][:, places]
        student.weights[layer + 1] = student.weights[layer + 1][:, :, places] / 2
    result = matched(teachers, student, inputs)
    for layer, places in enumerate(order):
        alive = result.alive(layer)
        assert torch.allclose(result.best(layer)[alive], torch.ones((), dtype=torch.float64))
        for network in range(2):
            winners = result.winners(layer)[network]
            for node in alive[network].nonzero().flatten().tolist():
                assert places[int(winners[node])] == node


def test_dead_teacher_nodes_are_counted_apart():
    teachers, students, inputs = stacks()
    teachers.biases[0][0, 1] = -1e3
    (layer, _) = matched(teachers, students, inputs).summaries(0)
    best = matched(teachers, students, inputs).best(0)[0]
    assert (layer.dead, layer.nodes) == (1, 4)
    assert best[1] == 0
    assert layer.mean == pytest.approx(float(best.sum()) / 4)
    assert layer.mean_alive == pytest.approx(float(best.sum()) / 3)
    assert layer.minimum == pytest.approx(float(best[[0, 2, 3]].min()))
    teachers.biases[0][0] = -1e3
    (layer, _) = matched(teachers, students, inputs).summaries(0)
    assert layer.dead == 4
    assert np.isnan(layer.mean_alive)


def test_modules_and_stacks_are_measured_alike():
    teachers, students, inputs = stacks()
    whole = matched(teachers, students, inputs)
    matching = NodeMatching()
    teacher, student = (ReluNetwork.from_stack(s, 1).eval() for s in (teachers, students))
    measure_modules([matching], teacher, student, inputs[1].split(700))
    alone = matching.result()
    for layer in range(2):
        assert torch.allclose(alone.correlation[layer][0], whole.correlation[layer][1], atol=1e-9)
        assert torch.equal(alone.teacher_active[layer][0], whole.teacher_active[layer][1])
    assert alone.samples == [3000, 3000]
    matching.reset()
    with pytest.raises(UsageError, match="no samples"):
        matching.result()


def test_networks_of_other_depth_or_other_samples_are_refused():
    teachers, students, inputs = stacks()
    shallow = Stack.concatenate([make_student(Architecture(5, (8,), 3), seeds) for seeds in SEEDS])
    with pytest.raises(UsageError, match="2 hidden layers in the teacher, 1 in the student"):
        NodeMatching().update(teachers.forward(inputs), shallow.forward(inputs))
    with pytest.raises(UsageError, match="the same samples"):
        NodeMatching().update(teachers.forward(inputs), students.forward(inputs[:, :10]))


def test_only_some_layers():
    teachers, students, inputs = stacks()
    matching = NodeMatching(layers=[1])
    measure_stacks([matching], teachers, students, inputs)
    result = matching.result()
    assert result.depth == 1
    whole = matched(teachers, students, inputs)
    assert torch.equal(result.correlation[0], whole.correlation[1])
