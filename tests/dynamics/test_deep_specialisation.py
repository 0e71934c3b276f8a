import numpy as np
import pytest
import torch

from trine.core.seeding import Seeds
from trine.dynamics.assembly import teacher_of
from trine.dynamics.deep_specialisation import deep, make_setting
from trine.dynamics.joint_results import Outcome, node_frame, student_frame
from trine.dynamics.joint_training import train_together
from trine.dynamics.stack_plan import Member, shape_of


def small(**values):
    data = {"samples": 2000, "evaluation": 1000}
    plain = {"teacher": "4-5", "inputs": 6, "outputs": 7, "over": 3, "epochs": 6,
             "snapshots": [1, 3], "data": data, "descent": {"schedule": [[4, 0.5]]}}  # fmt: skip
    return deep(**{**plain, **values})


def test_defaults_are_those_of_the_paper():
    # Tian 2020's published program, as listed in the module.
    s = deep()
    assert s.teacher_architecture.widths == (20, 50, 75, 100, 125, 100)
    assert s.student_architecture.hidden == (500, 750, 1000, 1250)
    assert (s.data.std, s.data.samples, s.epochs) == (10.0, 200_000, 100)
    assert (s.descent.rate, s.descent.batch, s.descent.loss) == (0.2, 64, "mean")
    assert s.descent.schedule == ((20, 0.5),)
    assert s.student_start.scale == 0.1
    assert (s.teacher_start.bias, s.teacher_start.grid_limit) == ("median", 1.0)
    assert len(s.snapshot_epochs) == 5


def test_teacher_nodes_are_active_on_half_of_the_data_and_outputs_standardised():
    teacher = teacher_of(small(dtype="float64"), Seeds(1))
    inputs = 10 * np.random.default_rng(7).standard_normal((20_000, 6))
    trace = teacher.forward(torch.as_tensor(inputs[None]))
    for layer in range(2):
        # Median over 10,000 calibration samples: a standard error of 0.005, and as much here.
        share = (trace.active[layer] > 0).double().mean((0, 1))
        assert torch.allclose(share, torch.full_like(share, 0.5), atol=0.04)
    assert torch.allclose(trace.output.mean(1), torch.zeros(1, 7).double(), atol=0.1)
    assert torch.allclose(trace.output.std(1), torch.ones(1, 7).double(), atol=0.1)


def test_the_teacher_does_not_change_with_the_size_of_the_data():
    one = teacher_of(small(), Seeds(1))
    other = teacher_of(small(data={"samples": 500, "evaluation": 100}), Seeds(1))
    assert all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(one.biases, other.biases, strict=True))


def test_decay_and_slope_are_options():
    weak = teacher_of(small(teacher_start={"decay": 2.0}), Seeds(1))
    norms = weak.weights[1][0].norm(dim=0)
    assert norms[0] > 5 * norms[-1]
    assert small(network={"slope": 0.2}).student_architecture.slope == 0.2
    assert shape_of(small(teacher_start={"decay": 2.0})) == shape_of(small())
    assert shape_of(small(network={"slope": 0.2})) != shape_of(small())


def test_training_measures_every_layer():
    setting = small()
    members = [Member(setting, 1), Member(setting, 2)]
    arrays = train_together(members).arrays
    assert arrays["influence.0"].shape == (2, 4, 12) and arrays["influence.1"].shape == (2, 4, 15)
    assert (arrays["influence.0"] > 0).all()
    assert (arrays["evaluation_loss"][:, -1] < 0.5 * arrays["evaluation_loss"][:, 0]).all()
    # Standardised outputs and the mean loss: a constant student has a loss of 1.
    assert np.allclose(arrays["output_power"], 1, atol=0.1)
    outcomes = [
        Outcome(member, {name: array[k] for name, array in arrays.items()})
        for k, member in enumerate(members)
    ]
    nodes = node_frame(outcomes)
    assert len(nodes) == 2 * 4 * 2
    assert nodes["dead"].sum() == 0
    assert len(student_frame(outcomes)) == 2 * 4 * (12 + 15)


def test_uniform_inputs_are_an_option():
    setting = small(data={"samples": 300, "evaluation": 200, "distribution": "uniform"}, epochs=1)
    assert train_together([Member(setting, 1)]).arrays["diverged_step"].tolist() == [-1]
    assert make_setting("deep", {"teacher": "3-4", "inputs": 5}).setup == "deep"


def test_student_and_teacher_are_the_same_at_any_company():
    setting = small(epochs=1)
    alone = train_together([Member(setting, 3)]).arrays["evaluation_loss"]
    pair = train_together([Member(setting, 2), Member(setting, 3)]).arrays["evaluation_loss"]
    assert alone[0] == pytest.approx(pair[1], rel=1e-4)  # single precision
