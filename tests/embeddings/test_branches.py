"""Branches: what each task trains on from the joint encoder, and models made of them."""

from __future__ import annotations

import copy
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from tests.embeddings.small_branches import (
    TEXTS,
    Trained,
    joint_training,
    recipe_of,
    same_encoder,
    saved_base,
    three_tasks,
    train_branches,
    weights,
)
from trine.core.artifacts import read_arrays, write_arrays
from trine.core.errors import DataError
from trine.core.progress import EventProgress, ProgressEvent
from trine.core.records import read_metrics
from trine.core.seeding import Seeds
from trine.embeddings.branches import (
    BRANCHES,
    branch_file,
    branch_model,
    joint_states,
    single_recipe,
    task_updates,
    ways_to_leave,
)
from trine.embeddings.building import bare_encoder, build_encoder, finish, prepare
from trine.embeddings.config import HeadConfig, Recipe
from trine.embeddings.encoder import head_of
from trine.embeddings.inference import first_module
from trine.embeddings.task_heads import (
    fit_task_heads,
)
from trine.embeddings.tasks import Task
from trine.embeddings.trainer import last_checkpoint
from trine.embeddings.training import fit, make_trainer


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return three_tasks()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(tasks: list[Task], base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return joint_training(tasks, base, tmp_path_factory.mktemp("trained"))


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


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    # Where the tests are started in the background the signal is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_a_branch_that_was_stopped_goes_on_from_its_own_checkpoint(
    trained: Trained, tasks: list[Task], tmp_path: Path
) -> None:
    shutil.copytree(trained.branches, tmp_path / BRANCHES)
    path = branch_file(tmp_path / BRANCHES, "two", 0)
    record = path.with_suffix(".jsonl")
    before, record_before = read_arrays(path), read_metrics(record)
    path.unlink()
    record.unlink()
    sent: list[float] = []

    def receive(event: ProgressEvent) -> None:
        if event.description != "branches" and event.done >= 5 and not sent:
            sent.append(event.done)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_branches(
            trained.model, tasks, trained.recipe, tmp_path, progress=EventProgress(receive)
        )
    kept = last_checkpoint(tmp_path / "checkpoints" / "branch-0-two")
    assert kept is not None
    assert kept.name in ("checkpoint-5", "checkpoint-6")
    assert not path.exists()
    train_branches(trained.model, tasks, trained.recipe, tmp_path)
    # Not to the last bit: outputs of frozen layers are computed again, in other batches, and Adam
    # makes steps of what is noise in gradients that are 0 (biases of keys, which change no vector).
    for name, value in read_arrays(path).items():
        if not name.endswith("key.bias"):
            assert value == pytest.approx(before[name], abs=1e-5), name
    assert read_metrics(record)["step"].to_list() == record_before["step"].to_list()
    assert not kept.parent.exists()


@pytest.mark.parametrize("model", [{"lora_rank": 2}, {"prune_vocabulary": True}])
def test_adapters_and_a_pruned_vocabulary_make_branches_too(
    tasks: list[Task], base: Path, tmp_path: Path, model: dict[str, Any]
) -> None:
    done = joint_training(tasks[:2], base, tmp_path, model=model)
    joint = weights(done.model)
    assert len(joint["embeddings.word_embeddings.weight"]) == (
        len(weights(SentenceTransformer(str(base)))["embeddings.word_embeddings.weight"])
        if "lora_rank" in model
        else first_module(done.model).tokenizer.vocab_size
    )
    for after in (0, 4):
        own = weights(done.after("one", after))
        assert own.keys() == joint.keys()
        changed = {key for key, value in own.items() if not value.equal(joint[key])}
        assert changed
        assert all(key.startswith("encoder.layer.1.") for key in changed)
    # By another way: what leaves at once is what learns alone.
    alone = single_recipe(done.recipe, "one", done.recipe.training.steps)
    mine = [Task(alone.task(task.name), task.frame) for task in tasks[:2]]
    encoder, _ = bare_encoder(done.recipe, tasks[:2])
    model_alone = fit(
        prepare(encoder, alone, mine, Seeds(4)), mine, alone, directory=tmp_path / "alone",
        seeds=Seeds(4),
    ).model  # fmt: skip
    assert same_encoder(done.after("one", 0), model_alone)


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
