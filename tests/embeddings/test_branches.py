"""Branches: what each task trains on from the joint encoder, and models made of them."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from tests.embeddings.small_encoders import small_encoder
from tests.embeddings.small_training import label_frame, label_task, pair_task, small_recipe
from trine.cli.app import main
from trine.core.artifacts import read_arrays, write_arrays
from trine.core.errors import DataError
from trine.core.records import read_metrics
from trine.core.seeding import Seeds
from trine.embeddings.branches import (
    BRANCHES,
    branch_file,
    branch_model,
    fit_branches,
    joint_states,
    single_recipe,
    task_updates,
    ways_to_leave,
)
from trine.embeddings.building import build_encoder, finish
from trine.embeddings.choices import check_validation, choose_parts, load_choices, own_part
from trine.embeddings.config import HeadConfig, Recipe, load_recipe
from trine.embeddings.encoder import head_of
from trine.embeddings.evaluation.suite import evaluate_model
from trine.embeddings.inference import first_module
from trine.embeddings.task_heads import (
    HEADS,
    fit_task_heads,
    head_model,
    load_task_heads,
    save_task_heads,
)
from trine.embeddings.tasks import ScoreRow, Task
from trine.embeddings.training import fit, make_trainer

TEXTS = ["bank card loan", "cat dog", "red blue and green"]


def with_validation(task: Task) -> Task:
    """Every third row is for choosing."""
    split = ["validation" if i % 3 == 2 else "train" for i in range(task.frame.height)]
    return Task(task.config, task.frame.with_columns(pl.Series("split", split)))


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    made = [label_task("one", 72), label_task("two", 72, seed=2), pair_task("pairs", 36)]
    return [with_validation(task) for task in made]


def recipe_of(
    tasks: list[Task], base: Path, leave_after: tuple[int, ...] = (0, 4), **training: Any
) -> Recipe:
    values = small_recipe(tasks, shared_loss=0.0, **training).model_dump()
    values["training"]["leave_after"] = leave_after
    values["head"] |= {"per_task": True, "rows": 64}
    values["model"] |= {"task_heads": True, "freeze_layers": 1, "base": str(base)}
    return Recipe(**values)


@dataclass(frozen=True)
class Trained:
    """A joint training with all branches."""

    recipe: Recipe
    model: SentenceTransformer
    folder: Path

    @property
    def branches(self) -> Path:
        return self.folder / BRANCHES

    def after(self, task: str, steps: int) -> SentenceTransformer:
        return branch_model(self.model, branch_file(self.branches, task, steps))


def joint_training(tasks: list[Task], base: Path, folder: Path, **training: Any) -> Trained:
    recipe = recipe_of(tasks, base, **training)
    seeds = Seeds(4)
    model, _ = build_encoder(recipe, tasks, seeds)
    fit(
        model, tasks, recipe, directory=folder / "joint", seeds=seeds,
        keep=joint_states(recipe, folder / BRANCHES),
    )  # fmt: skip
    train_branches(model, tasks, recipe, folder)
    return Trained(recipe, model, folder)


def train_branches(
    model: SentenceTransformer, tasks: list[Task], recipe: Recipe, folder: Path
) -> None:
    fit_branches(
        model, tasks, recipe, folder=folder / BRANCHES, checkpoints=folder / "checkpoints",
        seeds=Seeds(4),
    )  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("base")
    SentenceTransformer(modules=list(small_encoder(place))[:2], device="cpu").save(
        str(place / "encoder"), create_model_card=False
    )
    return place / "encoder"


@pytest.fixture(scope="module")
def trained(tasks: list[Task], base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return joint_training(tasks, base, tmp_path_factory.mktemp("trained"))


def weights(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    return first_module(model).auto_model.state_dict()


def same_encoder(one: SentenceTransformer, other: SentenceTransformer) -> bool:
    mine = weights(other)
    return all(value.equal(mine[name]) for name, value in weights(one).items())


def test_a_branch_changes_upper_layers_and_the_head_of_a_copy(trained: Trained) -> None:
    joint = trained.model
    before = joint.encode(TEXTS)
    old = weights(joint)
    vectors = []
    for name in ("one", "two", "pairs"):
        own = trained.after(name, 4)
        vectors.append(own.encode(TEXTS))
        new = weights(own)
        changed = {key for key in old if not old[key].equal(new[key])}
        assert changed
        assert all(key.startswith("encoder.layer.1.") for key in changed)  # layer 0 is frozen
    assert joint.encode(TEXTS) == pytest.approx(before, abs=1e-6)
    assert np.abs(vectors[0] - before).max() > 1e-3
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_who_leaves_at_once_is_what_learns_alone(
    trained: Trained, tasks: list[Task], tmp_path: Path
) -> None:
    alone = single_recipe(trained.recipe, "two", trained.recipe.training.steps)
    own = [Task(alone.task(task.name), task.frame) for task in tasks]
    model, _ = build_encoder(alone, own, Seeds(4))
    model = fit(model, own, alone, directory=tmp_path, seeds=Seeds(4)).model
    weight, _ = fit_task_heads(model, own, alone.head, Seeds(4).child("head"))["two"]
    branch = trained.after("two", 0)
    assert same_encoder(branch, model)
    assert head_of(branch).linear.weight.detach().numpy() == pytest.approx(weight, abs=1e-6)


def test_who_leaves_later_learns_alone_from_the_joint_encoder_of_then(
    trained: Trained, tasks: list[Task], base: Path, tmp_path: Path
) -> None:
    # By another way: the joint training, killed after four steps; its weights as a base.
    recipe = trained.recipe
    model, _ = build_encoder(recipe, tasks, Seeds(4))
    trainer = make_trainer(
        model, tasks, recipe, directory=tmp_path / "joint", seeds=Seeds(4),
        callbacks=[StopAfter(4)],
    )  # fmt: skip
    trainer.train()
    bare = SentenceTransformer(modules=list(finish(model))[:2], device="cpu")
    bare.save(str(tmp_path / "encoder"), create_model_card=False)
    alone = single_recipe(recipe, "two", recipe.training.steps - 4)
    alone = alone.model_copy(
        update={"model": alone.model.model_copy(update={"base": str(tmp_path / "encoder")})}
    )
    own = [Task(alone.task(task.name), task.frame) for task in tasks]
    seeds = Seeds(4).child("branch", "4")
    model, _ = build_encoder(alone, own, seeds)
    model = fit(model, own, alone, directory=tmp_path / "alone", seeds=seeds).model
    expected = weights(model)
    for name, value in weights(trained.after("two", 4)).items():
        assert value.numpy() == pytest.approx(expected[name].numpy(), abs=1e-6), name


class StopAfter(TrainerCallback):
    """Ends a training whose schedule would go on."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step >= self.steps


def test_every_way_has_as_many_updates_on_a_task(tasks: list[Task], base: Path) -> None:
    recipe = recipe_of(tasks, base, tasks_per_step=1, alpha=0.5, steps=20)
    whole = task_updates(recipe, tasks)
    assert sum(whole.values()) == 20
    for after in range(21):
        rest = task_updates(recipe, tasks, after)
        first = recipe.model_copy(
            update={"training": recipe.training.model_copy(update={"steps": max(after, 1)})}
        )
        before = task_updates(first, tasks) if after else dict.fromkeys(whole, 0)
        assert {name: before[name] + rest[name] for name in whole} == whole


def test_a_task_may_leave_only_where_it_has_an_update_left(tasks: list[Task], base: Path) -> None:
    recipe = recipe_of(tasks, base, tasks_per_step=1, alpha=0.5, steps=12, leave_after=(11, 0, 5))
    ways = ways_to_leave(recipe, tasks)
    assert [name for name, own in ways.items() if 11 in own] == [
        name for name, updates in task_updates(recipe, tasks, 11).items() if updates
    ]
    assert sum(11 in own for own in ways.values()) == 1
    assert all(own[0] == 0 for own in ways.values())


def test_a_task_may_be_called_as_what_all_share(tasks: list[Task], base: Path) -> None:
    recipe = recipe_of(tasks, base)
    joint = set(joint_states(recipe, Path()).values())
    names = ("joint", "encoder", "after-4", "checkpoint-4")
    assert joint.isdisjoint(branch_file(Path(), name, 4) for name in names)


def test_branches_have_the_updates_that_are_left(trained: Trained) -> None:
    steps = trained.recipe.training.steps
    for after in (0, 4):
        for name in ("one", "two", "pairs"):
            record = read_metrics(branch_file(trained.branches, name, after).with_suffix(".jsonl"))
            assert set(record["task"]) == {name}
            assert record.height == steps - after


def test_what_is_there_is_not_trained_again_and_the_rest_is(
    trained: Trained, tasks: list[Task], tmp_path: Path
) -> None:
    shutil.copytree(trained.branches, tmp_path / BRANCHES)
    kept, gone = (branch_file(tmp_path / BRANCHES, name, 4) for name in ("one", "two"))
    time, bytes_before = kept.stat().st_mtime_ns, gone.read_bytes()
    gone.unlink()
    train_branches(trained.model, tasks, trained.recipe, tmp_path)
    assert kept.stat().st_mtime_ns == time
    assert gone.read_bytes() == bytes_before
    # Without the joint encoder of then there is nothing to start from.
    gone.unlink()
    joint_states(trained.recipe, tmp_path / BRANCHES)[4].unlink()
    with pytest.raises(DataError, match="after-4"):
        train_branches(trained.model, tasks, trained.recipe, tmp_path)


def test_adapters_are_merged_in_the_state_that_a_branch_starts_from(
    tasks: list[Task], base: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(tasks, base)
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"lora_rank": 2})})
    model, _ = build_encoder(recipe, tasks, Seeds(4))
    path = tmp_path / "end.safetensors"
    steps = recipe.training.steps
    fit(model, tasks, recipe, directory=tmp_path / "joint", seeds=Seeds(4), keep={steps: path})
    kept = read_arrays(path)
    assert kept
    assert not any("lora" in name or "base_layer" in name for name in kept)
    now = weights(model)
    for name, value in kept.items():
        assert now[name].numpy() == pytest.approx(value, abs=1e-6), name


def test_a_file_of_another_model_is_refused(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    with pytest.raises(DataError, match=r"no branch.*leave_after"):
        branch_model(trained.model, path)
    write_arrays(path, {"head.weight": np.zeros((3, 3), np.float32)})
    with pytest.raises(DataError, match="no branch of this model"):
        branch_model(trained.model, path)
    trained.after("one", 4)
    other = copy.deepcopy(trained.model)
    with torch.no_grad():
        first_module(other).auto_model.encoder.layer[0].output.dense.bias.add_(1e-3)
    with pytest.raises(DataError, match="another joint model"):
        branch_model(other, branch_file(trained.branches, "one", 4))


def test_an_averaged_branch_holds_trained_layers_only(
    tasks: list[Task], base: Path, tmp_path: Path
) -> None:
    done = joint_training(tasks[:2], base, tmp_path, average=0.9)
    for after in (0, 4):
        arrays = read_arrays(branch_file(done.branches, "one", after))
        names = {name for name in arrays if name.startswith("encoder.")}
        assert names
        assert all(name.startswith("encoder.encoder.layer.1.") for name in names)


def test_branches_need_heads_of_their_own_and_steps_to_leave_after(
    tasks: list[Task], base: Path
) -> None:
    recipe = recipe_of(tasks, base)
    with pytest.raises(ValidationError, match="per_task"):
        Recipe(**{**recipe.model_dump(), "head": HeadConfig().model_dump()})
    with pytest.raises(ValidationError, match="0 to 8"):
        recipe_of(tasks, base, leave_after=(9,))
    with pytest.raises(ValidationError, match="valid integer"):
        recipe_of(tasks, base, leave_after=(True,))
    with pytest.raises(ValidationError, match="twice"):
        recipe_of(tasks, base, leave_after=(2, 2))
    with pytest.raises(ValidationError, match="two labelled tasks"):
        recipe_of(tasks[:1], base)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([50.0, 50.0, 50.0], None),
        ([50.0, 50.0 + 1e-13, 50.0 + 1e-12], None),  # equal but for the order of a sum
        ([50.0, 51.0, 51.0], 4),
        ([50.0, 49.0, 50.1], 0),
    ],
)
def test_of_equals_the_one_that_stays_longer(
    trained: Trained, tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    scores: list[float], expected: int | None,
) -> None:  # fmt: skip
    shutil.copytree(trained.branches, tmp_path / BRANCHES)
    heads = fit_task_heads(trained.model, tasks, trained.recipe.head, Seeds(4).child("head"))
    save_task_heads(heads, tmp_path / HEADS)
    given = itertools.cycle(scores)

    def score(model: object, own: list[Task], **how: Any) -> list[ScoreRow]:
        assert how["split"] == "validation"
        return [ScoreRow("m", own[0].name, "en", "accuracy", next(given), None, 24, 8)]

    monkeypatch.setattr("trine.embeddings.choices.evaluate_model", score)
    choices = choose_parts(trained.model, tmp_path, trained.recipe, tasks)
    assert [choice.left_after for choice in choices] == [expected] * 3


def test_the_best_on_validation_rows_is_taken(
    trained: Trained, tasks: list[Task], tmp_path: Path
) -> None:
    shutil.copytree(trained.branches, tmp_path / BRANCHES)
    heads = fit_task_heads(trained.model, tasks, trained.recipe.head, Seeds(4).child("head"))
    save_task_heads(heads, tmp_path / HEADS)
    choices = choose_parts(trained.model, tmp_path, trained.recipe, tasks)
    assert [choice.task for choice in choices] == ["one", "two", "pairs"]
    for choice, task in zip(choices, tasks, strict=True):
        assert [each.left_after for each in choice.candidates] == [None, 4, 0]
        ways = {
            None: head_model(trained.model, heads[task.name]),
            **{after: trained.after(task.name, after) for after in (4, 0)},
        }
        for each in choice.candidates:
            rows = evaluate_model(ways[each.left_after], [task], widths=[8], split="validation")
            assert {r.metric: r.score for r in rows}[choice.metric] == pytest.approx(
                each.score, abs=1e-3
            )
        score = {each.left_after: each.score for each in choice.candidates}
        assert score[choice.left_after] == max(score.values())
        assert same_encoder(
            own_part(trained.model, tmp_path, trained.recipe, task.name), ways[choice.left_after]
        )
    # What was decided stays so.
    before = (tmp_path / "choices.json").read_bytes()
    assert choose_parts(trained.model, tmp_path, trained.recipe, tasks) == choices
    assert (tmp_path / "choices.json").read_bytes() == before
    # A branch that is gone is no reason to score the task by another part.
    (tmp_path / "choices.json").unlink()
    branch_file(tmp_path / BRANCHES, "two", 4).unlink()
    with pytest.raises(DataError, match="no branch"):
        choose_parts(trained.model, tmp_path, trained.recipe, tasks)


def test_a_task_without_validation_rows_is_told_before_training(
    trained: Trained, tasks: list[Task]
) -> None:
    check_validation(trained.recipe, tasks)
    bare = [tasks[0], label_task("two", 48, seed=2), tasks[2]]
    with pytest.raises(DataError, match=r"'two' has no validation rows.*validation_rows"):
        check_validation(trained.recipe, bare)


def test_validation_rows_that_cannot_be_scored_are_told_before_training(
    trained: Trained, tasks: list[Task], caplog: pytest.LogCaptureFixture
) -> None:
    split = ["validation"] + ["train"] * (tasks[1].frame.height - 1)
    frame = tasks[1].frame.with_columns(pl.Series("split", split))
    one = Task(tasks[1].config.model_copy(update={"metrics": ("triplet",)}), frame)
    with pytest.raises(DataError, match=r"'two': its validation rows cannot be scored"):
        check_validation(trained.recipe, [tasks[0], one, tasks[2]])
    assert "task two has 1 validation row(s): its choice is chance" in caplog.text


@pytest.fixture
def trainable(base: Path, tmp_path: Path) -> Path:
    """A recipe of two tasks beside their tables."""
    for seed, name in enumerate(("one", "two")):
        label_frame(80, seed).write_csv(tmp_path / f"{name}.csv")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""dimension = 8
[model]
base = "{base}"
[head]
rows = 64
per_task = true
[training]
steps = 5
leave_after = [3]
batch_size = 8
[[tasks]]
name = "one"
source = "one.csv"
metrics = ["triplet"]
validation_rows = 24
[[tasks]]
name = "two"
source = "two.csv"
metrics = ["triplet"]
validation_rows = 24
"""
    )
    return path


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trine(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["embeddings", *map(str, words)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_the_command_writes_the_model_that_was_scored(
    trainable: Path, tmp_path: Path, trine: Command
) -> None:
    run = tmp_path / "run"
    code, out, _ = trine("train", trainable, "--run", run, "--json")
    assert code == 0
    document: dict[str, Any] = json.loads(out)
    own = {(r["task"], r["metric"]): r["score"] for r in document["own_scores"] if r["width"] == 8}
    assert {task for task, _ in own} == {"one", "two"}
    assert trine("train", trainable, "--dry-run", "--json")[1].count('"updates": 5') == 2
    assert "tasks may leave after 3" in trine("train", trainable, "--dry-run")[1]
    code, out, _ = trine("train", trainable, "--run", run)
    assert "own head or branch" in out
    assert "leaves after 3" in out
    assert [choice["task"] for choice in document["choices"]] == ["one", "two"]
    assert (run / "tables" / "choices.csv").is_file()
    assert set(pl.read_csv(run / "figures" / "losses-after-3.csv")["task"]) == {"one", "two"}
    assert "left after step 3" in (run / "report.html").read_text()
    code, out, _ = trine("branch", run, "two", "--out", tmp_path / "two", "--json")
    assert code == 0
    assert json.loads(out) == {"model": str(tmp_path / "two"), "task": "two", "width": 8}
    opened = SentenceTransformer(str(tmp_path / "two"), device="cpu")
    whole = SentenceTransformer(str(run / "model-full"), device="cpu")
    expected = own_part(whole, run, load_recipe(trainable)[0], "two").encode(TEXTS)[:, :8]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert opened.encode(TEXTS) == pytest.approx(expected, abs=1e-5)
    card = (tmp_path / "two" / "README.md").read_text()
    assert "task two" in card
    assert "own head or branch" in (run / "report.html").read_text()
    assert "two" in (run / "tables" / "own-scores.csv").read_text()
    assert str(tmp_path) not in card
    code, out, _ = trine("evaluate", tmp_path / "two", "--suite", trainable, "--json")
    assert code == 0
    found = {(r["task"], r["metric"]): r["score"] for r in json.loads(out) if r["task"] == "two"}
    assert found == pytest.approx({key: own[key] for key in found}, abs=1e-3)
    assert found


@pytest.mark.parametrize(
    ("left_after", "told"),
    [
        (3, "left the joint training after step 3 and learned two alone"),
        (0, "the joint training of its run had no part in it"),
        (None, "after the training a head computed from the texts of two"),
    ],
)
def test_whatever_was_chosen_becomes_a_model(
    trainable: Path, tmp_path: Path, trine: Command, left_after: int | None, told: str
) -> None:
    run = tmp_path / "run"
    ways = ["--set", "training.leave_after=[3, 0]"]
    assert trine("train", trainable, "--run", run, *ways)[0] == 0
    choices = json.loads((run / "choices.json").read_text())
    chosen = [choice | {"left_after": left_after} for choice in choices]
    (run / "choices.json").write_text(json.dumps(chosen))
    assert trine("branch", run, "two", "--out", tmp_path / "two")[0] == 0
    assert told in (tmp_path / "two" / "README.md").read_text()
    whole = SentenceTransformer(str(run / "model-full"), device="cpu")
    own = head_model(whole, load_task_heads(run / HEADS)["two"])
    if left_after is not None:
        own = branch_model(whole, branch_file(run / BRANCHES, "two", left_after))
    expected = own.encode(TEXTS)[:, :8]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    opened = SentenceTransformer(str(tmp_path / "two"), device="cpu")
    assert opened.encode(TEXTS) == pytest.approx(expected, abs=1e-5)


def test_a_head_of_a_task_is_a_model_too(trainable: Path, tmp_path: Path, trine: Command) -> None:
    run = tmp_path / "heads"
    settings = ["--set", "training.leave_after=[]", "--json"]
    code, out, _ = trine("train", trainable, "--run", run, *settings)
    assert code == 0
    own = json.loads(out)["own_scores"]
    assert {row["task"] for row in own} == {"one", "two"}
    assert trine("branch", run, "one", "--out", tmp_path / "one", "--width", 4)[0] == 0
    vectors = SentenceTransformer(str(tmp_path / "one"), device="cpu").encode(TEXTS)
    weight, bias = load_task_heads(run / HEADS)["one"]
    whole = SentenceTransformer(str(run / "model-full"), device="cpu")
    below = SentenceTransformer(modules=list(whole)[:3], device="cpu").encode(TEXTS)
    expected = below @ weight[:4].T + bias[:4]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors == pytest.approx(expected, abs=1e-5)


def test_a_training_that_was_killed_in_a_branch_goes_on(
    trainable: Path, tmp_path: Path, trine: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert trine("train", trainable, "--run", whole)[0] == 0
    with monkeypatch.context() as patch:

        def killed(path: Path, arrays: object) -> Path:
            raise KeyboardInterrupt

        patch.setattr("trine.embeddings.branches.write_arrays", killed)
        assert trine("train", trainable, "--run", run)[0] == 130
    assert (run / "model-full").is_dir()
    code, _, err = trine("branch", run, "one", "--out", tmp_path / "out")
    assert code == 3
    assert "not finished" in err
    assert trine("train", trainable, "--run", run)[0] == 0
    assert load_choices(run) == load_choices(whole)
    for name in ("one", "two"):
        a, b = (read_arrays(branch_file(p / BRANCHES, name, 3)) for p in (whole, run))
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert value == pytest.approx(b[key], abs=1e-5), key


def test_wrong_input_is_one_line(trainable: Path, tmp_path: Path, trine: Command) -> None:
    out = tmp_path / "out"
    code, _, err = trine("branch", tmp_path / "nothing", "one", "--out", out)
    assert code == 3
    assert "is not a run directory" in err
    run = tmp_path / "plain"
    settings = ["--set", "training.leave_after=[]", "--set", "head.per_task=false"]
    assert trine("train", trainable, "--run", run, *settings)[0] == 0
    code, _, err = trine("branch", run, "one", "--out", out)
    assert code == 2
    assert "head.per_task = true" in err
    run = tmp_path / "branched"
    assert trine("train", trainable, "--run", run)[0] == 0
    code, _, err = trine("branch", run, "three", "--out", out)
    assert code == 2
    assert "one, two" in err
    assert trine("branch", run, "one", "--out", out, "--width", 40)[0] == 2
    code, _, err = trine("branch", run, "one", "--out", run / "model")
    assert code == 2
    assert "inside the run" in err
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    code, _, err = trine("branch", run, "one", "--out", tmp_path / "notes")
    assert code == 3
    assert "is not a model" in err
    assert not out.exists()
