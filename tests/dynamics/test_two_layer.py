from pathlib import Path

import numpy as np
import pytest
import torch

from trine.core.errors import ConfigError, UsageError
from trine.core.seeding import Seeds
from trine.dynamics import joint_training
from trine.dynamics.batches import gaussian_inputs
from trine.dynamics.deep_specialisation import make_setting
from trine.dynamics.initialise import (
    TWO_LAYER_TEACHER,
    StudentOptions,
    make_student,
    make_teacher,
)
from trine.dynamics.joint_training import train_cell, train_together
from trine.dynamics.networks import ReluNetwork
from trine.dynamics.reference import train_one
from trine.dynamics.stack_plan import Member, members_of, plan_stacks, stack_size
from trine.dynamics.two_layer import (
    DECAYS,
    NODES,
    OVERS,
    TwoLayerSetting,
    halving,
    turn_signs_,
    two_layer,
)


def small(**values) -> TwoLayerSetting:
    """Seconds: 3 teacher nodes on 8 inputs, 40 steps an epoch."""
    data = {"samples": 200, "evaluation": 300, "steps_per_epoch": 40, **values.pop("data", {})}
    plain = {"teacher": "3", "inputs": 8, "outputs": 6, "over": 2, "epochs": 4, "snapshots": (2,)}
    return two_layer(**{**plain, **values, "data": data})


def test_defaults_are_those_of_the_paper():
    # Tian 2020's published program, as listed in the module.
    s = two_layer(teacher="20", over=10, teacher_start={"decay": 1.0})
    assert s.student_architecture.widths == (100, 200, 50)
    assert (s.data.std, s.data.samples, s.data.evaluation) == (1.5, 10_000, 10_000)
    assert (s.data.order, s.steps_per_epoch, s.epochs) == ("replacement", 1000, 100)
    assert (s.descent.batch, s.descent.rate, s.descent.loss) == (16, 0.01, "half_sum")
    assert (s.student_start.start, s.student_start.noise) == ("gaussian", 0.005)
    assert (s.teacher_start.bias, s.teacher_start.bias_value) == ("constant", -0.1)
    assert s.dtype == "float64" and list(s.all_seeds) == list(range(1, 33))
    assert s.snapshot_epochs == [0, 5, 100] and len(s.curve_epochs) <= 20
    assert len(NODES) * len(OVERS) * len(DECAYS) == 72


def test_a_network_is_trained_as_the_obvious_loop_trains_it():
    setting = small(epochs=2)
    seeds = Seeds(5)
    teacher = make_teacher(setting.teacher_architecture, seeds, TWO_LAYER_TEACHER)
    options = StudentOptions("gaussian", noise=0.005)
    network = ReluNetwork.from_stack(make_student(setting.student_architecture, seeds, options))
    inputs = torch.as_tensor(gaussian_inputs(8, 1.5)(seeds.generator("data"), 200))
    losses: list[float] = []
    for epoch in range(2):
        order = seeds.generator("order", epoch).integers(200, size=40 * 16)
        losses = list(
            train_one(
                network, ReluNetwork.from_stack(teacher), inputs, order.tolist(),
                batch_size=16, rate=0.01, loss="half_sum",
            )
        )  # fmt: skip
    looked = torch.as_tensor(gaussian_inputs(8, 1.5)(seeds.generator("evaluation"), 300))
    with torch.no_grad():
        gap = network(looked) - ReluNetwork.from_stack(teacher)(looked)
    found = train_together([Member(setting, 5)]).arrays
    assert found["evaluation_loss"][0, -1] == pytest.approx(0.5 * float(gap.square().sum(1).mean()))
    assert found["training_loss"][0, -1] == pytest.approx(np.mean(losses))


def test_company_changes_nothing():
    settings = [
        small(),
        small(teacher_start={"decay": 1.5}),
        small(descent={"rate": 0.02}, data={"std": 1.0}),
        small(label_noise=0.3, augmentation="teacher", signs="helpful"),
    ]
    (cell,) = plan_stacks(settings, [1, 2])
    assert len(members_of(cell)) == 8
    together = train_cell(cell, Path("nowhere"))
    for place, member in enumerate(members_of(cell)):
        alone = train_together([member]).arrays
        for name, values in alone.items():
            assert np.allclose(
                values[0], together.arrays[name][place], rtol=1e-5, atol=1e-7, equal_nan=True
            ), (name, member)


def test_what_is_measured_makes_sense():
    found = train_together([Member(small(epochs=60, data={"steps_per_epoch": 100}), 3)]).arrays
    assert found["evaluation_loss"][0, 0] > 20 * found["evaluation_loss"][0, -1]
    assert (found["best_teacher.0"][0, -1] > 0.9).all()
    assert found["best_teacher.0"].shape == (1, 3, 3)
    assert found["influence.0"].shape == (1, 3, 6)
    # A fan-out of N(0, 0.005^2) to 6 outputs has a norm of about 0.012.
    assert found["influence.0"][0, 0].mean() == pytest.approx(0.005 * np.sqrt(6), rel=0.5)
    assert found["students_above.0"][0, -1].sum() >= 3
    assert ((found["observed"] >= 0) & (found["observed"] <= 1)).all()
    assert found["output_power"][0] > found["evaluation_loss"][0, -1]
    assert found["diverged_step"][0] == -1


def test_a_network_that_diverges_is_recorded_and_the_others_go_on(tmp_path: Path, caplog):
    settings = [small(), small(descent={"rate": 100.0}), small(descent={"rate": 0.02})]
    (cell,) = plan_stacks(settings, [1])
    result = train_cell(cell, tmp_path)
    steps = result.arrays["diverged_step"]
    assert steps[1] > 0 and steps[0] == steps[2] == -1
    assert result.values["diverged"] == 1
    assert np.isnan(result.arrays["evaluation_loss"][1, 1:]).all()
    assert "learning rate 100" in caplog.text and f"step {steps[1]}" in caplog.text
    alone = train_together([Member(settings[2], 1)]).arrays
    assert np.allclose(result.arrays["evaluation_loss"][2], alone["evaluation_loss"][0])


def test_all_diverged_is_no_crash():
    found = train_together([Member(small(descent={"rate": 1e4}), s) for s in (1, 2)]).arrays
    assert (found["diverged_step"] > 0).all()


def test_a_stopped_training_goes_on_as_if_never_stopped(tmp_path: Path, monkeypatch):
    members = [Member(small(), 1), Member(small(descent={"rate": 100.0}), 1), Member(small(), 2)]
    wanted = train_together(members).arrays
    monkeypatch.setattr(joint_training, "SAVE_EVERY", 0.0)
    place = tmp_path / "state.safetensors"
    look = joint_training._State.look

    def stop(self, evaluation, epoch, loss):
        if epoch == 3:
            raise KeyboardInterrupt
        look(self, evaluation, epoch, loss)

    monkeypatch.setattr(joint_training._State, "look", stop)
    with pytest.raises(KeyboardInterrupt):
        train_together(members, place)
    assert place.is_file()
    epochs: list[int] = []

    def watch(self, evaluation, epoch, loss):
        epochs.append(epoch)
        look(self, evaluation, epoch, loss)

    monkeypatch.setattr(joint_training._State, "look", watch)
    found = train_together(members, place).arrays
    assert epochs == [3, 4]  # the first two epochs were not trained again
    for name, values in wanted.items():
        assert np.array_equal(values, found[name], equal_nan=True), name
    # The checkpoint of other networks is not used, nor is a broken file.
    epochs.clear()
    train_together(members[:1], place)
    place.write_bytes(b"noise")
    train_together(members[:1], place)
    assert epochs[0] == 0


def test_stacks_are_as_large_as_cache_and_memory_allow():
    assert [stack_size(two_layer(teacher="20", over=over)) for over in (1, 2, 10)] == [32, 32, 10]
    assert stack_size(two_layer(teacher="20"), memory=3 * 20_000_000) == 3
    assert stack_size(two_layer(teacher="20"), memory=1) == 1
    settings = [two_layer(teacher="20", over=o, teacher_start={"decay": p})
                for o in (1, 10) for p in (0.0, 1.0)]  # fmt: skip
    cells = plan_stacks(settings, range(1, 33))
    # 32 seeds at 20 nodes fill a stack; at 200 nodes they make four. The longest come first.
    assert [len(members_of(cell)) for cell in cells] == [8] * 8 + [32, 32]
    everyone = {(m.setting.text, m.seed) for cell in cells for m in members_of(cell)}
    assert everyone == {(s.text, seed) for s in settings for seed in range(1, 33)}
    assert len({cell.file_name for cell in cells}) == len(cells)
    # Few seeds: settings of one shape share a stack.
    assert [len(members_of(cell)) for cell in plan_stacks(settings, [1, 2])] == [4, 4]


def test_initial_signs():
    setting = small()
    teacher = make_teacher(setting.teacher_architecture, Seeds(0), TWO_LAYER_TEACHER)
    for signs, side in (("helpful", 1), ("adversarial", -1)):
        student = make_student(setting.student_architecture, Seeds(0), StudentOptions("gaussian"))
        before = student.weights[0].abs().clone()
        turn_signs_(student, teacher, signs)
        assert (side * (student.weights[0][0] @ teacher.weights[0][0, -1]) > 0).all()
        assert torch.equal(student.weights[0].abs(), before)


def test_halving():
    assert halving(20, 60) == ((20, 0.5), (40, 0.25))
    with pytest.raises(UsageError, match="every 0 epochs"):
        halving(0, 10)


def test_label_noise_has_the_size_asked_for():
    with_noise = Member(small(label_noise=0.5, data={"samples": 4000}), 1)
    without = Member(small(data={"samples": 4000}), 1)
    batches, _ = joint_training._data([with_noise, without])
    batches.inputs()
    targets = batches._targets
    assert targets is not None
    noisy, clean = targets[0], targets[1]
    spread = clean.var(0).mean().sqrt()
    assert float((noisy - clean).std() / spread) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"outputs": 0}, "outputs = 0"),
        ({"over": 0.5}, "narrower than the teacher"),
        ({"student": "2"}, "narrower than the teacher"),
        ({"teacher_start": {"decai": 1}}, "did you mean 'teacher_start.decay'"),
        ({"label_noise": -1}, "label_noise = -1"),
        ({"signs": "both"}, "signs = 'both'"),
        ({"label_noise": 0.1, "descent": {"loss": "cross_entropy"}}, "use another loss"),
    ],
)
def test_wrong_settings_are_one_clear_line(values, words: str):
    plain = {"teacher": "3", **values}
    with pytest.raises(ConfigError) as caught:
        two_layer(**plain)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_set_up():
    with pytest.raises(UsageError, match="did you mean 'two-layer'"):
        make_setting("two-layers", {})
