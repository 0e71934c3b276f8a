"""Branches: what each task trains on from the joint encoder, and models made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sentence_transformers import SentenceTransformer

from tests.embeddings.small_encoders import small_encoder
from tests.embeddings.small_training import label_frame, label_task, pair_task, small_recipe
from trine.cli.app import main
from trine.core.artifacts import read_arrays, write_arrays
from trine.core.errors import DataError
from trine.core.seeding import Seeds
from trine.embeddings.branches import (
    BRANCHES,
    branch_model,
    evaluate_branches,
    fit_branches,
    single_recipe,
)
from trine.embeddings.building import build_encoder
from trine.embeddings.config import HeadConfig, Recipe
from trine.embeddings.encoder import add_head, head_of
from trine.embeddings.inference import first_module
from trine.embeddings.task_heads import HEADS, fit_task_heads, load_task_heads
from trine.embeddings.tasks import Task
from trine.embeddings.training import fit

TEXTS = ["bank card loan", "cat dog", "red blue and green"]


@pytest.fixture
def tasks() -> list[Task]:
    return [label_task("one", 48), label_task("two", 48, seed=2), pair_task("pairs")]


@pytest.fixture
def recipe(tasks: list[Task]) -> Recipe:
    values = small_recipe(tasks, shared_loss=0.0).model_dump()
    values["training"]["branch_steps"] = 5
    values["head"] |= {"per_task": True, "rows": 64}
    values["model"] |= {"task_heads": True, "freeze_layers": 1}
    return Recipe(**values)


@pytest.fixture
def joint(tmp_path: Path, tasks: list[Task]) -> SentenceTransformer:
    bare = small_encoder(tmp_path)
    for name in list(bare._modules)[3:]:
        del bare._modules[name]
    return add_head(bare, tasks, HeadConfig(), Seeds(0)).eval()


def branches(
    joint: SentenceTransformer, tasks: list[Task], recipe: Recipe, folder: Path
) -> dict[str, Path]:
    paths = fit_branches(
        joint, tasks, recipe, folder=folder / BRANCHES, checkpoints=folder / "checkpoints",
        seeds=Seeds(4),
    )  # fmt: skip
    return {path.stem: path for path in paths}


def test_a_branch_changes_upper_layers_and_the_head_of_a_copy(
    joint: SentenceTransformer, tasks: list[Task], recipe: Recipe, tmp_path: Path
) -> None:
    before = joint.encode(TEXTS)
    paths = branches(joint, tasks, recipe, tmp_path)
    assert list(paths) == ["one", "two", "pairs"]
    assert joint.encode(TEXTS) == pytest.approx(before, abs=1e-6)
    old = first_module(joint).auto_model.state_dict()
    vectors = []
    for path in paths.values():
        own = branch_model(joint, path)
        vectors.append(own.encode(TEXTS))
        new = first_module(own).auto_model.state_dict()
        changed = {name for name in old if not old[name].equal(new[name])}
        assert changed
        assert all(name.startswith("encoder.layer.1.") for name in changed)  # layer 0 is frozen
    assert np.abs(vectors[0] - before).max() > 1e-3
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_a_branch_is_what_the_task_alone_learns_from_the_saved_joint_encoder(
    joint: SentenceTransformer, tasks: list[Task], recipe: Recipe, tmp_path: Path
) -> None:
    path = branches(joint, tasks, recipe, tmp_path)["two"]
    SentenceTransformer(modules=list(joint)[:2], device="cpu").save(
        str(tmp_path / "encoder"), create_model_card=False
    )
    alone = single_recipe(recipe, "two", 5)
    alone = alone.model_copy(
        update={"model": alone.model.model_copy(update={"base": str(tmp_path / "encoder")})}
    )
    own = [Task(alone.task(task.name), task.frame) for task in tasks]
    seeds = Seeds(4).child("branch")
    model, _ = build_encoder(alone, own, seeds)
    model = fit(model, own, alone, directory=tmp_path / "alone", seeds=seeds).model
    weight, _ = fit_task_heads(model, own, alone.head, seeds.child("head"))["two"]
    branch = branch_model(joint, path)
    expected = first_module(model).auto_model.state_dict()
    for name, value in first_module(branch).auto_model.state_dict().items():
        assert value.numpy() == pytest.approx(expected[name].numpy(), abs=1e-6), name
    assert head_of(branch).linear.weight.detach().numpy() == pytest.approx(weight, abs=1e-4)


def test_what_is_there_is_not_trained_again_and_the_rest_is(
    joint: SentenceTransformer, tasks: list[Task], recipe: Recipe, tmp_path: Path
) -> None:
    paths = branches(joint, tasks, recipe, tmp_path)
    assert not list((tmp_path / "checkpoints").iterdir())  # so what is gone is trained from 0
    kept, gone = paths["one"].stat().st_mtime_ns, paths["two"].read_bytes()
    paths["two"].unlink()
    assert branches(joint, tasks, recipe, tmp_path) == paths
    assert paths["one"].stat().st_mtime_ns == kept
    assert paths["two"].read_bytes() == gone


def test_a_file_of_another_model_is_refused(
    joint: SentenceTransformer, tasks: list[Task], recipe: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "one.safetensors"
    with pytest.raises(DataError, match=r"no branch.*branch_steps"):
        branch_model(joint, path)
    write_arrays(path, {"head.weight": np.zeros((3, 3), np.float32)})
    with pytest.raises(DataError, match="no branch of this model"):
        branch_model(joint, path)
    paths = branches(joint, tasks, recipe, tmp_path)
    branch_model(joint, paths["one"])
    with torch.no_grad():
        first_module(joint).auto_model.encoder.layer[0].output.dense.bias.add_(1e-3)
    with pytest.raises(DataError, match="another joint model"):
        branch_model(joint, paths["one"])
    # A branch that is gone is no reason to score the task by the shared head.
    paths["two"].unlink()
    with pytest.raises(DataError, match="no branch"):
        evaluate_branches(joint, tmp_path / BRANCHES, tasks[1:2])


def test_an_averaged_branch_holds_trained_layers_only(
    joint: SentenceTransformer, tasks: list[Task], recipe: Recipe, tmp_path: Path
) -> None:
    averaged = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"average": 0.9})}
    )
    path = branches(joint, tasks, averaged, tmp_path)["one"]
    names = {name for name in read_arrays(path) if name.startswith("encoder.")}
    assert names
    assert all(name.startswith("encoder.encoder.layer.1.") for name in names)


def test_branches_need_heads_of_their_own(recipe: Recipe) -> None:
    with pytest.raises(ValidationError, match="per_task"):
        Recipe(**{**recipe.model_dump(), "head": HeadConfig().model_dump()})


@pytest.fixture
def trainable(tmp_path: Path) -> Path:
    """A recipe of two tasks beside their tables and the base."""
    place = tmp_path / "base"
    SentenceTransformer(modules=list(small_encoder(tmp_path))[:2], device="cpu").save(
        str(place), create_model_card=False
    )
    for seed, name in enumerate(("one", "two")):
        label_frame(80, seed).write_csv(tmp_path / f"{name}.csv")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""dimension = 8
[model]
base = "{place}"
[head]
rows = 64
per_task = true
[training]
steps = 3
branch_steps = 2
batch_size = 8
[[tasks]]
name = "one"
source = "one.csv"
metrics = ["triplet"]
[[tasks]]
name = "two"
source = "two.csv"
metrics = ["triplet"]
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
    assert "then 2 for each task alone" in trine("train", trainable, "--dry-run")[1]
    code, out, _ = trine("train", trainable, "--run", run)
    assert "own head or branch" in out
    code, out, _ = trine("branch", run, "two", "--out", tmp_path / "two", "--json")
    assert code == 0
    assert json.loads(out) == {"model": str(tmp_path / "two"), "task": "two", "width": 8}
    opened = SentenceTransformer(str(tmp_path / "two"), device="cpu")
    whole = SentenceTransformer(str(run / "model-full"), device="cpu")
    expected = branch_model(whole, run / BRANCHES / "two.safetensors").encode(TEXTS)[:, :8]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert opened.encode(TEXTS) == pytest.approx(expected, abs=1e-5)
    card = (tmp_path / "two" / "README.md").read_text()
    assert "task two" in card
    assert "then 2 steps on two alone, from the joint encoder" in card
    assert "own head or branch" in (run / "report.html").read_text()
    assert "two" in (run / "tables" / "own-scores.csv").read_text()
    assert str(tmp_path) not in card
    code, out, _ = trine("evaluate", tmp_path / "two", "--suite", trainable, "--json")
    assert code == 0
    found = {(r["task"], r["metric"]): r["score"] for r in json.loads(out) if r["task"] == "two"}
    assert found == pytest.approx({key: own[key] for key in found}, abs=1e-3)
    assert found


def test_a_head_of_a_task_is_a_model_too(trainable: Path, tmp_path: Path, trine: Command) -> None:
    run = tmp_path / "heads"
    settings = ["--set", "training.branch_steps=0", "--json"]
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
    for name in ("one", "two"):
        a, b = (read_arrays(p / BRANCHES / f"{name}.safetensors") for p in (whole, run))
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert value == pytest.approx(b[key], abs=1e-5), key


def test_wrong_input_is_one_line(trainable: Path, tmp_path: Path, trine: Command) -> None:
    out = tmp_path / "out"
    code, _, err = trine("branch", tmp_path / "nothing", "one", "--out", out)
    assert code == 3
    assert "is not a run directory" in err
    run = tmp_path / "plain"
    settings = ["--set", "training.branch_steps=0", "--set", "head.per_task=false"]
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
