"""Configurations of runs: set-ups, combinations that are refused, and one line for each mistake."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trine.core.config import config_hash, differences
from trine.core.errors import ConfigError, UsageError
from trine.dynamics.config import (
    SETUPS,
    flat_settings,
    from_json,
    load_run_config,
    make_run_config,
    to_json,
)


def test_the_reference_run_is_the_default():
    # Spec 7.1, the reference command of Tian et al. 2019's program.
    config = make_run_config("deep")
    assert config.teacher_architecture.widths == (20, 10, 15, 20, 25, 100)
    assert config.student_architecture.hidden == (100, 150, 200, 250)
    assert (config.data.samples, config.data.std, config.data.evaluation) == (100_000, 10, 10_000)
    assert (config.descent.batch, config.descent.rate, config.descent.loss) == (64, 0.05, "mean")
    assert (config.epochs, config.seeds, config.dtype) == (40, 8, "float32")
    assert config.steps_per_epoch == 1562
    assert config.label == "deep-10-15-20-25-over-10"


def test_two_layers_as_in_tian_2020():
    config = make_run_config("two-layer")  # spec 7.5
    assert config.teacher_architecture.widths == (100, 10, 50)
    assert (config.data.samples, config.data.std, config.data.order) == (10_000, 1.5, "replacement")
    assert (config.descent.batch, config.descent.rate, config.descent.loss) == (
        16,
        0.01,
        "half_sum",
    )
    assert (config.steps_per_epoch, config.epochs, config.dtype) == (1000, 100, "float64")
    assert list(config.all_seeds) == list(range(1, 33))
    assert (config.teacher_start.bias_value, config.student_start.noise) == (-0.1, 0.005)


def test_deep_large_as_in_tian_2020():
    config = make_run_config("deep-large")  # spec 7.6
    assert config.teacher_architecture.hidden == (50, 75, 100, 125)
    assert config.descent.schedule == ((20, 0.5),)
    assert (config.descent.rate, config.student_start.scale) == (0.2, 0.1)
    assert config.teacher_start.bias == "median"


def test_a_part_of_a_table_keeps_the_rest_of_the_set_up():
    config = load_run_config("two-layer", None, ["data.std=2"], {"teacher": "5"})
    assert (config.data.std, config.data.samples, config.data.order) == (2, 10_000, "replacement")
    assert differences(config) == {"setup": "two-layer", "teacher": "5", "data.std": 2.0}
    # The same text of options under two set-ups is two runs.
    assert config_hash(make_run_config("deep")) != config_hash(make_run_config("two-layer"))


def test_file_below_set_below_options(tmp_path: Path):
    file = tmp_path / "run.toml"
    file.write_text("over = 2\nepochs = 3\n[descent]\nrate = 0.5\nschedule = [[1, 0.1]]\n")
    config = load_run_config("deep", file, ["epochs=4"], {"descent.rate": 0.25})
    assert (config.over, config.epochs, config.descent.rate) == (2, 4, 0.25)
    assert config.descent.schedule == ((1, 0.1),)


@pytest.mark.parametrize("setup", SETUPS)
def test_json_round_trip_leaves_seeds_out(setup: str):
    config = make_run_config(setup, seeds=3, first_seed=7, over=2, data={"samples": 2000})
    assert from_json(to_json(config)) == config.recipe
    other = make_run_config(setup, seeds=5, first_seed=9, over=2, data={"samples": 2000})
    assert to_json(config) == to_json(other)


def test_a_configuration_without_set_up_is_refused():
    with pytest.raises(ConfigError, match="without set-up"):
        from_json("{}")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"over": 0.5}, "the student would be narrower than the teacher"),
    ({"over": 1.55}, "accepted: a factor that makes every width an integer"),
    ({"student": "100-150-9-250"}, "hidden layer 2: student width 9 is narrower"),
    ({"student": "100-150"}, "hidden layers: teacher 4, student 2"),
    ({"student": "100-150-200-250", "over": 10}, "both student and over are given"),
    ({"teacher": "10-x"}, "hidden widths joined by hyphens, e.g. 10-15-20-25"),
    ({"teacher": "0-5"}, "hidden widths joined by hyphens, e.g. 10-15-20-25"),
    ({"outputs": 0}, "outputs = 0"),
    ({"inputs": -1}, "inputs = -1"),
    ({"seeds": 0}, "seeds = 0"),
    ({"data": {"std": 0}}, "data.std = 0"),
    ({"data": {"samples": 10}}, "descent.batch 64 of data.samples 10; lower it"),
    ({"descent": {"rate": -0.1}}, "descent.rate = -0.1"),
    ({"descent": {"rate": float("nan")}}, "descent.rate"),
    ({"descent": {"loss": "l1"}}, "descent.loss = 'l1'"),
    ({"descent": {"frozen": [9]}}, "descent.frozen [9]; accepted: numbers from 0 to 4"),
    ({"network": {"slope": 2}}, "network.slope = 2"),
    ({"network": {"batch_norm": "between"}}, "network.batch_norm = 'between'"),
    ({"tacher": "10"}, "did you mean 'teacher'"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[message for _, message in BAD])
def test_mistakes_are_one_clear_line(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        make_run_config("deep", **values)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text


def test_an_unknown_set_up_names_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown set-up 'two-layers'.*did you mean 'two-layer'"):
        make_run_config("two-layers")


def test_flat_settings_name_everything():
    flat = flat_settings(make_run_config("deep"))
    assert flat["descent.rate"] == 0.05
    assert flat["setup"] == "deep"
    assert "student" not in flat  # not set


def test_a_configuration_is_checked_without_torch():
    code = "import sys, trine.dynamics.config; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
