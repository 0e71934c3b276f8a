"""The whole study with a random encoder of a few thousand weights, through the real command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sentence_transformers import SentenceTransformer

from tests.embeddings.small_encoders import sentence, small_encoder
from trine.core.errors import ConfigError, DataError, UsageError
from trine.core.records import read_metrics
from trine.embeddings.branches import branch_file, branch_model, single_recipe, task_updates
from trine.embeddings.choices import evaluate_parts
from trine.embeddings.config import Recipe, load_recipe
from trine.embeddings.encoder import load_model
from trine.embeddings.evaluation.suite import evaluate_model
from trine.embeddings.loading import load_tasks
from trine.embeddings.tasks import Task
from trine.embeddings.transfer import Cell, _run_cell, transfer

ROW = {
    "model", "task", "language", "metric", "score", "se", "n", "width", "arm", "trained", "seed",
}  # fmt: skip


def table(seed: int, labels: int, rows: int = 90) -> pl.DataFrame:
    """Texts whose first words tell the label; no split column, so that splits are made."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "text": [
                sentence(*(6 * (i % labels) + rng.integers(0, 7, size=4)), *rng.integers(0, 48, 3))
                for i in range(rows)
            ],
            "label": [f"l{i % labels}" for i in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of two tasks and a zero-shot task, its tables and its base."""
    folder = tmp_path_factory.mktemp("study")
    model = small_encoder(folder)
    SentenceTransformer(modules=list(model)[:2], device="cpu").save(
        str(folder / "base"), create_model_card=False
    )
    for name, seed, labels in (("one", 1, 3), ("two", 2, 4), ("unseen", 3, 3)):
        table(seed, labels).write_csv(folder / f"{name}.csv")
    (folder / "recipe.toml").write_text(
        f"""title = "small"
dimension = 4
[model]
base = "{folder / "base"}"
[head]
rows = 64
[training]
steps = 6
tasks_per_step = 1
batch_size = 8
save_every = 2
rate = 1e-3
[[tasks]]
name = "one"
source = "one.csv"
metrics = ["classification"]
[[tasks]]
name = "two"
source = "two.csv"
metrics = ["triplet"]
[[tasks]]
name = "unseen"
source = "unseen.csv"
role = "zero_shot"
metrics = ["classification"]
published = {{"other" = 50.0}}
published_source = "a list of models"
"""
    )
    return folder


# Tiny matrices: more threads only wait for each other.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def command(place: Path, run: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "trine.cli.app", "embeddings", "transfer",
        str(place / "recipe.toml"), "--seeds", "2", "--draws", "2", "--width", "2", "--width", "8",
        "--run", str(run), "--json", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def study(place: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A study that ran through."""
    run = place / "whole"
    done = subprocess.run(
        command(place, run),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return run, json.loads(done.stdout)


def test_every_arm_task_seed_and_width_is_there(
    study: tuple[Path, list[dict[str, Any]]],
) -> None:
    _, rows = study
    assert all(set(row) == ROW for row in rows)
    accuracy = [r for r in rows if r["metric"] == "accuracy" and r["task"] == "unseen"]
    found = sorted((r["arm"], r["trained"], r["seed"] or 0, r["width"]) for r in accuracy)
    expected = [("base", "", 0, 16)]
    expected += [("base+pca", "", 0, w) for w in (2, 4, 8, 16)]
    expected += [("multi", "", s, w) for s in (0, 1) for w in (2, 4, 8, 16)]
    expected += [("single", t, s, w) for t in ("one", "two") for s in (0, 1) for w in (4, 16)]
    assert found == sorted(expected)
    assert {r["seed"] for r in rows if r["arm"].startswith("base")} == {None}
    assert all(0 <= r["score"] <= 100 for r in rows)
    # The same rows are scored in every cell.
    assert len({(r["task"], r["n"]) for r in rows}) == 3


def test_both_arms_have_as_many_updates_of_every_task(
    study: tuple[Path, list[dict[str, Any]]],
) -> None:
    run, _ = study
    for seed in (0, 1):
        together = read_metrics(run / "cells" / f"multi_seed-{seed}" / "run" / "metrics.jsonl")
        counts = dict(together["task"].value_counts().iter_rows())
        assert sum(counts.values()) == 6
        for task in ("one", "two"):
            alone = run / "cells" / f"single_{task}_seed-{seed}" / "run" / "metrics.jsonl"
            metrics = read_metrics(alone)
            assert set(metrics["task"]) == {task}
            assert metrics.height == counts.get(task, 1)


def test_no_cell_trains_on_rows_that_are_scored(
    place: Path, study: tuple[Path, list[dict[str, Any]]]
) -> None:
    # Splits are made here, by seed: every cell must have made the same.
    run, _ = study
    configs = [load_recipe(p)[0] for p in sorted(run.glob("cells/*/run/config.toml"))]
    assert len(configs) == 6
    assert {c.seed for c in configs} == {0, 1}
    scored = {
        tuple(task.rows("test")["text"].to_list())
        for config in configs
        for task in load_tasks(config, place)[0]
        if task.name == "one"
    }
    assert len(scored) == 1
    digests = {json.loads(p.read_text())["digest"] for p in run.glob("cells/*/run/data.json")}
    assert len(digests) == 1


def test_models_of_one_task_are_scored_with_the_rows_that_all_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half of what `one` is scored on are training rows of `two`: nobody's classifier has them.
    shared = [f"text {i}" for i in range(20)]
    for name, texts, sides in (
        ("one", [f"own {i}" for i in range(20)] + shared, ["train"] * 20 + ["test"] * 20),
        (
            "two",
            [f"other {i}" for i in range(40)] + shared[:10],
            ["train"] * 30 + ["test"] * 10 + ["train"] * 10,
        ),
    ):
        rows = {"text": texts, "split": sides, "label": ["a", "b"] * (len(texts) // 2)}
        pl.DataFrame(rows).write_csv(tmp_path / f"{name}.csv")
    tasks = [{"name": n, "source": f"{n}.csv", "split": "split"} for n in ("one", "two")]
    recipe = Recipe.model_validate({"tasks": tasks})
    alone = single_recipe(recipe, "one", 3)
    seen: list[dict[str, int]] = []

    def score(cell: Cell, model: object, tasks: list[Task]) -> list[Any]:
        assert [task.config for task in tasks] == list(cell.recipe.tasks)
        seen.append({task.name: task.rows("train").height for task in tasks})
        return []

    monkeypatch.setattr("trine.embeddings.transfer._model", lambda cell, tasks: None)
    monkeypatch.setattr("trine.embeddings.transfer._scores", score)
    for own in (recipe, alone):
        place = tmp_path / str(len(seen))
        place.mkdir()
        _run_cell(Cell("multi", "", 0, own, recipe, tmp_path, place, (8,), None, 1))
    assert seen == [{"one": 20, "two": 30}] * 2


def test_page_tables_and_what_is_kept(study: tuple[Path, list[dict[str, Any]]]) -> None:
    run, _ = study
    page = (run / "report.html").read_text()
    assert "2 seeds give intervals that say little: no claim." in page
    assert page.count("<svg") == 3
    assert "on the same test rows; from a list of models." in page
    trained = pl.read_csv(run / "tables" / "trained.csv")
    assert trained["task"].to_list() == ["one", "two"]
    assert {"single_se", "multi_se", "difference_se"} <= set(trained.columns)
    assert pl.read_csv(run / "tables" / "zero-shot.csv")["published other"].to_list() == [50.0]
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    # Models that learned everything stay; of the others the record.
    assert (run / "cells/multi_seed-1/run/model/model.safetensors").is_file()
    assert not list(run.glob("cells/single_*/run/model*"))
    assert len(list(run.glob("cells/single_*/run/metrics.jsonl"))) == 4


@pytest.mark.slow
def test_a_killed_study_goes_on_and_ends_alike(
    place: Path, study: tuple[Path, list[dict[str, Any]]]
) -> None:
    _, rows = study
    run = place / "killed"
    process = subprocess.Popen(
        command(place, run),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "done: multi, seed 1" in line:  # in the middle: the next model is being trained
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stderr.close()
    finished = {p.parent.name: p.stat().st_mtime_ns for p in run.glob("cells/*/scores.json")}
    assert 4 <= len(finished) < 8
    done = subprocess.run(
        command(place, run),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert f"8 models, {len(finished)} of them there already" in done.stderr
    assert json.loads(done.stdout) == rows
    for name, when in finished.items():
        assert (run / "cells" / name / "scores.json").stat().st_mtime_ns == when


def test_with_heads_of_their_own_trained_tasks_are_scored_by_them(
    place: Path, tmp_path: Path
) -> None:
    recipe, base = load_recipe(place / "recipe.toml", ["head.per_task=true", "training.steps=2"])
    how: dict[str, Any] = {"seeds": 1, "draws": 1, "matrix_seeds": 0, "widths": (4,)}
    rows = transfer(recipe, base, directory=tmp_path / "run", **how).rows
    tasks = {arm[0]: set(own["task"]) for arm, own in rows.group_by("arm")}
    assert tasks["multi"] == {"one", "two", "unseen"}
    assert tasks["multi+shared"] == {"one", "two"}
    again = transfer(recipe, base, directory=tmp_path / "run", **how).rows
    assert again.equals(rows)


def test_tasks_may_leave_and_every_way_has_as_many_updates_on_a_task(
    place: Path, tmp_path: Path
) -> None:
    settings = ["head.per_task=true", "training.leave_after=[0, 2, 5]"]
    recipe, base = load_recipe(place / "recipe.toml", settings)
    how: dict[str, Any] = {"seeds": 1, "draws": 1, "matrix_seeds": 1, "widths": (4,)}
    with pytest.raises(DataError, match="no validation rows"):
        transfer(recipe, base, directory=tmp_path / "none", **how)
    assert not (tmp_path / "none").exists()
    aside = tuple(task.model_copy(update={"validation_rows": 20}) for task in recipe.tasks)
    recipe = recipe.model_copy(update={"tasks": aside})
    run = tmp_path / "run"
    result = transfer(recipe, base, directory=run, **how)
    rows = result.rows
    assert set(rows["arm"]) == {"base", "base+pca", "single", "multi", "multi+shared"}
    assert set(rows.filter(pl.col("arm") == "multi+shared")["task"]) == {"one", "two"}
    multi = run / "cells" / "multi_seed-0" / "run"
    joint = read_metrics(multi / "metrics.jsonl")
    for name in ("one", "two"):
        alone = read_metrics(run / "cells" / f"single_{name}_seed-0" / "run" / "metrics.jsonl")
        own = joint.filter(pl.col("task") == name)
        assert alone.height == own.height
        for after in (0, 2, 5):
            before = own.filter(pl.col("step") <= after).height
            record = branch_file(multi / "branches", name, after).with_suffix(".jsonl")
            assert record.is_file() == (before < alone.height)  # only with an update left
            if record.is_file():
                branch = read_metrics(record)
                assert set(branch["task"]) == {name}
                assert before + branch.height == alone.height
    # Trained tasks are scored with the part that was chosen, others with the joint encoder.
    choices = {choice.task: choice.left_after for choice in result.choices[0]}
    assert list(choices) == ["one", "two"]
    tasks, _ = load_tasks(recipe, base)
    model = load_model(multi / "model-full")
    own = evaluate_parts(model, multi, recipe, tasks, widths=[4], draws=1)
    others = evaluate_model(model, tasks[2:], widths=[4], draws=1)
    at_four = rows.filter(pl.col("width") == 4)
    found = at_four.filter(pl.col("arm") == "multi")
    for row in [*own, *others]:
        at = (pl.col("task") == row.task) & (pl.col("metric") == row.metric)
        assert found.filter(at)["score"].item() == pytest.approx(row.score, abs=1e-3)
    # A branch after 0 steps is the single-task model.
    for name in ("one", "two"):
        branch = branch_model(model, branch_file(multi / "branches", name, 0))
        scored = [task for task in tasks if task.name == name]
        single = at_four.filter((pl.col("arm") == "single") & (pl.col("trained") == name))
        for row in evaluate_model(branch, scored, widths=[4], draws=1):
            at = (pl.col("task") == name) & (pl.col("metric") == row.metric)
            assert single.filter(at)["score"].item() == pytest.approx(row.score, abs=1e-3)
    shown = pl.read_csv(run / "tables" / "choices.csv")
    ways = ["stays", "leaves after 5", "leaves after 2", "alone"]
    assert shown.columns == ["seed", "task", "metric", *ways, "se", "chosen"]
    assert shown["leaves after 5"].null_count() == 1  # one of two tasks had the last step
    page = (run / "report.html").read_text()
    assert "How long each task stays" in page
    stay = list(choices.values()).count(None)
    assert f"({stay} of 2, tasks times seeds)" in page
    # Done is done.
    assert transfer(recipe, base, directory=run, **how).rows.equals(rows)


def test_other_rows_than_the_study_began_with_are_refused(
    place: Path, study: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    run, _ = study
    for name in ("recipe.toml", "one.csv", "two.csv", "unseen.csv"):
        shutil.copy(place / name, tmp_path / name)
    table(9, 3).write_csv(tmp_path / "one.csv")
    recipe, base = load_recipe(tmp_path / "recipe.toml")
    with pytest.raises(ConfigError, match="begun on other rows"):
        transfer(recipe, base, seeds=2, draws=2, widths=(2, 8), directory=run)


def test_a_finished_study_is_read_and_not_done_again(
    place: Path, study: tuple[Path, list[dict[str, Any]]]
) -> None:
    run, rows = study
    recipe, base = load_recipe(place / "recipe.toml")
    said: list[str] = []
    again = transfer(recipe, base, seeds=2, draws=2, widths=(2, 8), directory=run, say=said.append)
    assert said == ["8 models, 8 of them there already"]
    assert again.rows.to_dicts() == rows


def test_what_a_study_needs(place: Path, tmp_path: Path) -> None:
    recipe, base = load_recipe(place / "recipe.toml")
    alone = recipe.model_copy(update={"tasks": (recipe.tasks[0], recipe.tasks[2])})
    with pytest.raises(UsageError, match=r"1 trained task\(s\).*two or more"):
        transfer(alone, base, root=tmp_path)
    with pytest.raises(UsageError, match="0 seeds"):
        transfer(recipe, base, seeds=0, root=tmp_path)
    with pytest.raises(UsageError, match="width 0"):
        transfer(recipe, base, widths=(0, 8), root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_updates_are_those_that_will_be_drawn(place: Path) -> None:
    recipe, base = load_recipe(place / "recipe.toml")
    tasks, _ = load_tasks(recipe, base)
    assert sum(task_updates(recipe, tasks).values()) == 6

    def with_training(**changes: Any) -> Recipe:
        return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})

    every = with_training(tasks_per_step=0, steps=9)
    assert task_updates(every, tasks) == {"one": 9, "two": 9}
    alone = single_recipe(recipe, "two", 5)
    assert [t.name for t in alone.trained] == ["two"]
    assert alone.training.steps == 5
    assert task_updates(alone, load_tasks(alone, base)[0]) == {"two": 5}
