"""Steps of several tasks, resuming after a kill, and the run directory of a training."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from tests.embeddings.small_encoders import WORDS, small_encoder
from tests.embeddings.small_training import (
    label_frame,
    label_task,
    pair_task,
    small_fit,
    small_recipe,
)
from trine.core.errors import ConfigError, DataError, UsageError
from trine.core.records import read_metrics
from trine.core.seeding import Seeds
from trine.embeddings.config import Recipe, TaskConfig, TrainingConfig
from trine.embeddings.interrupts import StopAfterStep
from trine.embeddings.losses import loss_name, make_loss
from trine.embeddings.tasks import Task
from trine.embeddings.train_run import plan, train
from trine.embeddings.trainer import WEIGHTS, WHOLE, last_checkpoint
from trine.embeddings.training import expected_updates, fit, make_trainer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    # A process that a shell has put in the background ignores it from the start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def weights(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


class Watch(TrainerCallback):
    """Keeps the gradients and rates of every step."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, torch.Tensor]] = []
        self.rates: list[list[float]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model, optimizer = kwargs["model"], kwargs["optimizer"]
        self.gradients.append(
            {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        )
        self.rates.append([group["lr"] for group in optimizer.param_groups])


def test_the_gradient_of_a_step_is_the_sum_over_its_tasks(tmp_path: Path) -> None:
    tasks = [label_task(weight=2.0), pair_task(batch_size=5), label_task("train", 24, 7)]
    recipe = small_recipe(tasks, steps=1, clip=0)
    watch = Watch()
    model = small_encoder(tmp_path)
    trainer = make_trainer(
        model, tasks, recipe, directory=tmp_path / "c", seeds=Seeds(0), callbacks=[watch]
    )
    loader: Any = trainer.get_train_dataloader()
    batches = list(loader.batch_sampler)
    assert [len(batch) for batch in batches] == [8, 5, 8]
    trainer.train()
    (found,) = watch.gradients

    fresh = small_encoder(tmp_path)
    offset = 0
    for batch, task, rows in zip(batches, tasks, trainer.plan.rows, strict=True):
        own = [row - offset for row in batch]
        offset += len(rows)
        training = recipe.training
        loss = make_loss(
            loss_name(task.config, training), fresh, task.config, training, dimension=8
        )
        columns = [fresh.preprocess([rows.texts[row] for row in own])]
        if rows.pairs:
            columns.append(fresh.preprocess([rows.pairs[row] for row in own]))
        loss(columns, torch.tensor(rows.labels[own])).backward()  # .grad sums over the tasks
    expected = {n: p.grad for n, p in fresh.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_head_and_encoder_have_their_own_rates_with_warm_up_and_decay(tmp_path: Path) -> None:
    tasks = [label_task()]
    for decay, at_half in (("linear", 0.5), ("cosine", 0.5)):
        recipe = small_recipe(tasks, steps=10, warmup=0.2, decay=decay, rate=1e-3, head_rate=1e-2)
        watch = Watch()
        model = small_encoder(tmp_path)
        trainer = make_trainer(
            model, tasks, recipe, directory=tmp_path / decay, seeds=Seeds(0), callbacks=[watch]
        )
        trainer.train()
        encoder = [rates[0] for rates in watch.rates]
        head = [rates[-1] for rates in watch.rates]
        assert encoder[:3] == pytest.approx([0, 5e-4, 1e-3])
        assert encoder[6] == pytest.approx(1e-3 * at_half)
        assert head == pytest.approx([10 * rate for rate in encoder])
        groups = trainer.optimizer.param_groups  # type: ignore[union-attr]
        inside = {id(p) for group in groups[2:] for p in group["params"]}
        assert inside == {id(p) for p in model[3].parameters()}


def test_training_separates_the_labels(tmp_path: Path) -> None:
    tasks = [label_task()]
    model = small_encoder(tmp_path)
    recipe = small_recipe(tasks, steps=100, save_every=100)
    texts = tasks[0].frame["text"].to_list()
    labels = torch.tensor([i % 4 for i in range(len(texts))])

    def gap() -> float:
        vectors = torch.from_numpy(model.encode(texts))
        cosines = vectors @ vectors.T
        same = labels[:, None] == labels[None, :]
        return float(cosines[same].mean() - cosines[~same].mean())

    before = gap()
    result = fit(model, tasks, recipe, directory=tmp_path / "c", seeds=Seeds(0))
    assert gap() > before + 0.3
    assert result.updates == {"topic": 100}
    assert result.tokens > 100 * 8 * 4


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    # Dropout, distillation, hard negatives, heads of the tasks, one task a step drawn by size.
    whole = small_fit(tmp_path / "whole", tmp_path / "base")
    script = Path(__file__).with_name("small_training.py")
    died = subprocess.run(
        [sys.executable, "-m", "tests.embeddings.small_training",
         str(tmp_path / "killed"), str(tmp_path / "base"), "6"],
        cwd=script.parents[2], capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert died.returncode == -9, died.stderr
    kept = last_checkpoint(tmp_path / "killed" / "checkpoints")
    assert kept is not None
    assert kept.name == "checkpoint-4"
    # What a kill in the middle of a checkpoint would leave.
    broken = kept.with_name("checkpoint-8")
    broken.mkdir()
    (broken / WEIGHTS).write_bytes(b"half")
    resumed = small_fit(tmp_path / "killed", tmp_path / "base")
    assert resumed.resumed == 4
    one, two = weights(whole.model), weights(resumed.model)
    for name in one:
        assert torch.equal(one[name], two[name]), name
    columns = ["step", "task", "loss", "distillation", "head", "rate"]
    rows = [
        read_metrics(tmp_path / n / "metrics.jsonl").select(columns) for n in ("whole", "killed")
    ]
    assert rows[0].equals(rows[1])
    assert resumed.losses == whole.losses
    # A run that was killed after its last step has nothing left to do.
    again = small_fit(tmp_path / "killed", tmp_path / "base")
    assert again.resumed == 9
    assert all(torch.equal(one[n], w) for n, w in weights(again.model).items())


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_ends_the_step_and_keeps_it(tmp_path: Path) -> None:
    whole = small_fit(tmp_path / "whole", tmp_path / "base")
    with pytest.raises(KeyboardInterrupt):
        small_fit(tmp_path / "stopped", tmp_path / "base", die_at=5, by=signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    kept = last_checkpoint(tmp_path / "stopped" / "checkpoints")
    assert kept is not None
    # Asked for at the end of step 5 or in step 6; the checkpoints of save_every are 4 and 8.
    assert kept.name in ("checkpoint-5", "checkpoint-6")
    resumed = small_fit(tmp_path / "stopped", tmp_path / "base")
    assert resumed.resumed == int(kept.name.rpartition("-")[2])
    one, two = weights(whole.model), weights(resumed.model)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert resumed.losses == whole.losses


@pytest.mark.usefixtures("_ctrl_c")
def test_the_second_ctrl_c_does_not_wait() -> None:
    said: list[str] = []
    ended = False
    with pytest.raises(KeyboardInterrupt), StopAfterStep(said.append):
        signal.raise_signal(signal.SIGINT)
        ended = True  # the first one only asks
        assert len(said) == 1
        signal.raise_signal(signal.SIGINT)
        ended = False
    assert ended
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_of_ctrl_c_is_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the workers of a study
    try:
        with StopAfterStep(print):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_checkpoints_hold_what_is_trained_and_no_pickle(tmp_path: Path) -> None:
    tasks = [label_task()]
    model: Any = small_encoder(tmp_path)
    for parameter in model[0].model.embeddings.parameters():
        parameter.requires_grad_(False)
    before = weights(model)
    fit(model, tasks, small_recipe(tasks, steps=3), directory=tmp_path / "c", seeds=Seeds(0))
    (folder,) = (tmp_path / "c").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        WEIGHTS, WHOLE, "trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth",
    }  # fmt: skip
    stored = load_file(folder / WEIGHTS)
    assert not any("embeddings" in name for name in stored)
    assert "model.3.linear.weight" in stored
    torch.load(folder / "optimizer.pt", weights_only=True)
    after = weights(model)
    assert torch.equal(
        before["0.model.embeddings.word_embeddings.weight"],
        after["0.model.embeddings.word_embeddings.weight"],
    )
    assert not torch.equal(before["3.linear.weight"], after["3.linear.weight"])


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    tasks = [label_task()]
    recipe = small_recipe(tasks, steps=4)
    fit(small_encoder(tmp_path), tasks, recipe, directory=tmp_path / "c", seeds=Seeds(0))
    other = small_encoder(tmp_path, width=32)
    with pytest.raises(DataError, match="belongs to another model"):
        fit(other, tasks, recipe, directory=tmp_path / "c", seeds=Seeds(0))
    (tmp_path / "c" / "checkpoint-4" / WEIGHTS).write_bytes(b"broken")
    with pytest.raises(DataError, match="cannot read"):
        fit(small_encoder(tmp_path), tasks, recipe, directory=tmp_path / "c", seeds=Seeds(0))


def test_average_with_the_base(tmp_path: Path) -> None:
    tasks = [label_task()]
    start = weights(small_encoder(tmp_path))
    ends = {}
    for share in (1.0, 0.25):
        model = small_encoder(tmp_path)
        recipe = small_recipe(tasks, steps=3, average=share)
        fit(model, tasks, recipe, directory=tmp_path / str(share), seeds=Seeds(0))
        ends[share] = weights(model)
    name = "0.model.encoder.layer.0.attention.self.query.weight"
    expected = 0.25 * ends[1.0][name] + 0.75 * start[name]
    torch.testing.assert_close(ends[0.25][name], expected)
    assert torch.equal(ends[0.25]["3.linear.weight"], ends[1.0]["3.linear.weight"])
    # A run of which nothing is left to do, or another share of the same steps: the base is still
    # where the model started, not where the checkpoint is.
    for folder in ("0.25", "1.0"):
        model = small_encoder(tmp_path)
        recipe = small_recipe(tasks, steps=3, average=0.25)
        assert fit(model, tasks, recipe, directory=tmp_path / folder, seeds=Seeds(0)).resumed == 3
        assert all(torch.equal(ends[0.25][n], w) for n, w in weights(model).items())


def test_prefix_and_length_of_texts(tmp_path: Path) -> None:
    tasks = [label_task(prefix="red "), label_task("plain")]
    model: Any = small_encoder(tmp_path)
    model.prompts = {"text": "blue "}
    model.default_prompt_name = "text"
    recipe = small_recipe(tasks, steps=1, max_tokens=8)
    trainer = make_trainer(model, tasks, recipe, directory=tmp_path / "c", seeds=Seeds(0))
    for inputs, word in zip(trainer.get_train_dataloader(), ("red", "blue"), strict=True):
        ids = inputs["text_input_ids"]
        assert ids.shape[1] == 8
        assert set(ids[:, 1].tolist()) == {5 + WORDS.index(word)}


def test_hard_negatives_of_a_tree_are_whole_paths(tmp_path: Path) -> None:
    flat = label_task(kind="hierarchical", label=("area", "topic"))
    paths = [
        ["things" if own in ("money", "colours") else "nature", own]
        for (own,) in flat.frame["labels"].to_list()
    ]
    task = Task(flat.config, flat.frame.with_columns(pl.Series("labels", paths)))
    recipe = small_recipe([task], steps=1, hard_negatives=0.5)
    trainer = make_trainer(
        small_encoder(tmp_path), [task], recipe, directory=tmp_path / "c", seeds=Seeds(0)
    )
    names = trainer.plan.rows[0].names
    near = trainer.plan.neighbours["topic"]
    assert {names[i] for i in near.ravel() if i >= 0} == {" / ".join(path) for path in paths}


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    tasks = [label_task()]
    model = small_encoder(tmp_path)
    with torch.no_grad():
        model[3].linear.weight.fill_(float("nan"))  # type: ignore[operator, union-attr]
    with pytest.raises(UsageError, match="topic is not finite at step 1"):
        fit(model, tasks, small_recipe(tasks), directory=tmp_path / "c", seeds=Seeds(0))


def test_expected_updates() -> None:
    tasks = tuple(TaskConfig(name=f"t{i}", source="t.csv") for i in range(3))
    recipe = Recipe(tasks=tasks, training=TrainingConfig(steps=100, tasks_per_step=0))
    assert expected_updates(recipe, [10, 20, 30]) == [100, 100, 100]
    one = recipe.model_copy(update={"training": TrainingConfig(tasks_per_step=1, alpha=1)})
    assert expected_updates(one, [10, 20, 30]) == pytest.approx([50, 100, 150])


# --- the run directory --------------------------------------------------------------------------


def base_folder(tmp_path: Path) -> Path:
    model = small_encoder(tmp_path)
    place = tmp_path / "base"
    SentenceTransformer(modules=list(model)[:2], device="cpu").save(
        str(place), create_model_card=False
    )
    return place


def recipe_of(tmp_path: Path, **training: Any) -> Recipe:
    label_frame(80).write_csv(tmp_path / "topic.csv")
    return Recipe.model_validate(
        {
            "dimension": 8,
            "tasks": [{"name": "topic", "source": "topic.csv", "metrics": ["triplet"]}],
            "model": {"base": str(base_folder(tmp_path))},
            "head": {"rows": 64},
            "training": {"steps": 5, "batch_size": 8, "rate": 1e-3, **training},
        }
    )


def test_a_run_leaves_a_model_that_opens_without_trine(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    lines: list[str] = []
    done = train(recipe, tmp_path, root=tmp_path / "runs", say=lines.append)
    assert done.run.is_finished
    assert any("parameters" in line for line in lines)
    small = SentenceTransformer(str(done.model), device="cpu")
    full = SentenceTransformer(str(done.full), device="cpu")
    texts = label_frame(6)["text"].to_list()
    one = small.encode(texts)
    two = full.encode(texts)[:, :8]
    assert one.shape == (6, 8)
    two = two / (two**2).sum(1, keepdims=True) ** 0.5
    assert abs(one - two).max() < 1e-5
    assert {row.width for row in done.scores} == {8, 16}
    assert {row.task for row in done.scores} == {"topic"}
    assert (done.run.tables / "scores.csv").is_file()
    assert "Evaluation" in done.run.report.read_text()
    assert done.document["updates"] == {"topic": 5}
    assert not list(done.run.directory.rglob("*.bin"))
    # The same command again finds what it did; other rows are another run.
    again = train(recipe, tmp_path, root=tmp_path / "runs", say=lines.append)
    assert again.run.directory == done.run.directory
    assert again.document == done.document
    assert "already trained" in lines[-1]
    label_frame(60).write_csv(tmp_path / "topic.csv")
    with pytest.raises(ConfigError, match="trained on other rows"):
        train(recipe, tmp_path, directory=done.run.directory)


def test_a_kill_after_training_does_not_train_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trine.embeddings import train_run

    recipe = recipe_of(tmp_path)
    calls: list[str] = []

    def broken(*_: Any) -> Any:
        calls.append("scores")
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(train_run, "_scores", broken)
        with pytest.raises(RuntimeError):
            train(recipe, tmp_path, directory=tmp_path / "run")
    # What a kill while saving leaves is a directory that nobody needs.
    leftover = tmp_path / "run" / ".model.1234.tmp"
    leftover.mkdir()
    (leftover / "half").write_text("")

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(train_run, "fit", never)
    done = train(recipe, tmp_path, directory=tmp_path / "run")
    assert calls == ["scores"]
    assert not leftover.exists()
    assert done.scores
    assert done.document["steps"] == 5


def test_plan_and_errors(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    (only,) = plan(recipe, tmp_path)["tasks"]
    assert only["labels"] == 4
    assert only["updates"] == 5
    assert only["loss"] == "info_nce"
    wide = recipe.model_copy(update={"dimension": 17})
    with pytest.raises(UsageError, match="dimension 17; accepted: 2 to 16"):
        train(wide, tmp_path, directory=tmp_path / "wide")
    silent = recipe.model_copy(
        update={"tasks": (recipe.tasks[0].model_copy(update={"role": "zero_shot"}),)}
    )
    with pytest.raises(UsageError, match="no task to train on"):
        plan(silent, tmp_path)


def test_the_record_has_a_row_a_step_and_task(tmp_path: Path) -> None:
    tasks = [label_task(), pair_task()]
    fit(
        small_encoder(tmp_path), tasks, small_recipe(tasks, steps=3),
        directory=tmp_path / "c", seeds=Seeds(0), metrics=tmp_path / "metrics.jsonl",
    )  # fmt: skip
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert rows.select("step", "task").rows() == [
        (step, name) for step in (1, 2, 3) for name in ("topic", "pairs")
    ]
    assert rows.filter(pl.col("loss") > 0).height == 6
    assert rows["tokens"].min() > 0  # type: ignore[operator]
