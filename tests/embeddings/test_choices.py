"""Which way is taken for each task, by its validation rows."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.embeddings.small_branches import (
    Trained,
    joint_training,
    same_encoder,
    saved_base,
    three_tasks,
)
from tests.embeddings.small_training import label_task
from trine.core.errors import DataError
from trine.core.seeding import Seeds
from trine.embeddings.branches import (
    BRANCHES,
    branch_file,
)
from trine.embeddings.choices import check_validation, choose_parts, own_part
from trine.embeddings.evaluation.suite import evaluate_model
from trine.embeddings.task_heads import (
    HEADS,
    fit_task_heads,
    head_model,
    save_task_heads,
)
from trine.embeddings.tasks import ScoreRow, Task


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return three_tasks()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(tasks: list[Task], base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return joint_training(tasks, base, tmp_path_factory.mktemp("trained"))


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


def test_languages_that_are_held_out_do_not_choose(
    trained: Trained, tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained.branches, tmp_path / BRANCHES)
    heads = fit_task_heads(trained.model, tasks, trained.recipe.head, Seeds(4).child("head"))
    save_task_heads(heads, tmp_path / HEADS)
    config = tasks[0].config.model_copy(update={"held_out_languages": ("fr",)})
    every_second = pl.int_range(pl.len()) % 2 == 0
    language = pl.when(every_second).then(pl.lit("fr")).otherwise(pl.lit("en"))
    mixed = Task(config, tasks[0].frame.with_columns(language.alias("language")))
    scored: list[set[str]] = []

    def score(model: object, own: list[Task], **how: Any) -> list[ScoreRow]:
        scored.append(set(own[0].rows("validation")["language"]))
        return [ScoreRow("m", own[0].name, "en", "accuracy", 50.0, None, 24, 8)]

    monkeypatch.setattr("trine.embeddings.choices.evaluate_model", score)
    choose_parts(trained.model, tmp_path, trained.recipe, [mixed, *tasks[1:]])
    assert scored == [{"en"}] * 9
    # Where only they have validation rows there is nothing to choose by.
    foreign = pl.when(pl.col("split") == "train").then(pl.lit("en")).otherwise(pl.lit("fr"))
    alone = Task(config, tasks[0].frame.with_columns(foreign.alias("language")))
    with pytest.raises(DataError, match="no validation rows"):
        check_validation(trained.recipe, [alone, *tasks[1:]])


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
