import json

import numpy as np
import pytest
import torch

from tests.bridge.positions import made_up_deals
from tests.bridge.test_imitation import recorded
from trine.bridge import symmetry, training_loop
from trine.bridge.config import load_recipe
from trine.bridge.network import load_network
from trine.bridge.symmetry import SUIT_ORDERS
from trine.bridge.training import plan, train
from trine.bridge.training_deals import DealSource, load_deals, permute_suits
from trine.core.artifacts import read_arrays
from trine.core.errors import DataError, Interrupted
from trine.core.progress import EventProgress
from trine.core.records import read_metrics

RECIPE = """
title = "tiny"
checkpoint_every = 2
averaging = 0.5
[network]
layers = 1
width = 16
[critic]
layers = 1
width = 16
[deals]
files = ["deals.npz"]
[ppo]
boards = 24
minibatch = 128
[pool]
every = 2
[budget]
updates = 5
[evaluation]
every = 2
boards = 20
final_boards = 40
"""

IMITATION = """
[imitation]
auctions = ["auctions.npz"]
updates = 6
minibatch = 64
evaluate_every = 3
held_out = 0.3
"""


@pytest.fixture
def recipe(tmp_path):
    """A directory with a recipe, deals and auctions."""
    deals = made_up_deals(300)
    owner, tricks = deals.owner.numpy(), deals.tricks.numpy()
    cards = owner.reshape(-1, 13, 4)
    packed = (cards << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(2, dtype=np.uint8)
    pairs = tricks.reshape(-1, 10, 2)
    np.savez(
        tmp_path / "deals.npz",
        owner_packed=packed,
        tricks_packed=pairs[:, :, 0] | pairs[:, :, 1] << 4,
    )
    auctions = recorded(60)
    spades_first = auctions.owner.reshape(-1, 4, 13)[:, ::-1].reshape(-1, 13, 4)
    table = np.concatenate([np.arange(5, 40), [0, 1, 2, 255]]).astype(np.uint8)  # -1 is the last
    np.savez(
        tmp_path / "auctions.npz",
        owner_packed=(spades_first << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(2, dtype="u1"),
        dealer_vul=np.stack([auctions.dealer, auctions.vulnerability], 1),
        calls=table[auctions.calls],
    )
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE + IMITATION)
    return path


def _train(path, directory, settings=(), progress=None):
    return train(
        load_recipe(path, list(settings)), path.parent, directory=directory, progress=progress
    )


def test_a_training_from_imitation_to_the_match(recipe, tmp_path):
    done = _train(recipe, tmp_path / "run")
    document = json.loads((tmp_path / "run" / "result.json").read_text())
    assert document == done.document
    assert document["self_play"]["updates"] == 5
    assert document["match"]["boards"] == 40
    match = document["match"]
    assert match["wins"] + match["ties"] + match["losses"] == 40
    assert load_network(done.network).config.width == 16
    rows = read_metrics(done.run.metrics_path)
    played = rows.filter(rows["stage"] == "self_play")
    assert played["update"].to_list() == [1, 2, 3, 4, 5]
    assert played["against_start"].drop_nulls().len() == 2
    assert played["decisions"][-1] == document["self_play"]["decisions"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "IMPs a board against the start" in page and "Agreement by call" in page
    assert done.run.is_finished
    again = _train(recipe, tmp_path / "run")  # recognised, not trained again
    assert again.document == document


class _Stop:
    """Ctrl-C after so many advances of a stage."""

    def __init__(self, stage, after):
        self.stage, self.left = stage, after

    def __call__(self, event):
        if event.description == self.stage and not event.ended:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("strategy", "stage", "after"),
    [("none", "imitation", 6), ("jps2020", "self-play", 5), ("density", "self-play", 6)],
)
def test_a_killed_training_ends_where_it_would_have_ended(recipe, tmp_path, strategy, stage, after):
    settings = [f"search.strategy={strategy}", "search.share=0.3", "search.rollouts=1"]
    whole = _train(recipe, tmp_path / "whole", settings)
    with pytest.raises(Interrupted):
        _train(recipe, tmp_path / "cut", settings, EventProgress(_Stop(stage, after)))
    resumed = _train(recipe, tmp_path / "cut", settings)
    assert resumed.document["match"] == whole.document["match"]
    one, other = read_arrays(whole.network), read_arrays(resumed.network)
    assert all(np.array_equal(one[name], other[name]) for name in one)
    rows = [read_metrics(r.run.metrics_path) for r in (whole, resumed)]
    assert rows[0]["update"].to_list() == rows[1]["update"].to_list()
    assert rows[0]["policy_loss"].to_list() == rows[1]["policy_loss"].to_list()


def test_budgets_end_a_training(recipe, tmp_path):
    plain = ["imitation.updates=0", "budget.updates=0", "evaluation.every=0"]
    few = _train(recipe, tmp_path / "few", [*plain, "budget.decisions=700"])
    told = few.document["self_play"]
    assert 700 <= told["decisions"] < 2500
    short = _train(recipe, tmp_path / "short", [*plain, "budget.cpu_seconds=0.01"])
    assert short.document["self_play"]["updates"] == 1


def test_another_start_and_own_score(recipe, tmp_path):
    first = _train(recipe, tmp_path / "first", ["budget.updates=0"])
    second = _train(
        recipe, tmp_path / "second",
        [f"start={first.network}", "imitation.updates=0", "budget.updates=1",
         "reward.kind=own_score", "critic.privileged=false", "precision=bf16"],
    )  # fmt: skip
    start = read_arrays(tmp_path / "second" / "checkpoints" / "start.safetensors")
    trained = read_arrays(first.network)
    assert all(np.array_equal(start[name], trained[name]) for name in start)
    assert second.document["self_play"]["updates"] == 1


def test_a_critic_of_an_earlier_training(recipe, tmp_path):
    first = _train(recipe, tmp_path / "first", ["imitation.updates=0", "budget.updates=2"])
    state = first.run.checkpoints / "state.safetensors"
    settings = ["imitation.updates=0", "budget.updates=1", "ppo.critic_rate=1e-12"]
    fresh = _train(recipe, tmp_path / "fresh", settings)
    taken = _train(recipe, tmp_path / "taken", [*settings, f"critic.start={state}"])
    critics = [
        read_arrays(path)["module/critic/value.weight"]
        for path in (state, *(run.run.checkpoints / "state.safetensors" for run in (taken, fresh)))
    ]
    assert np.allclose(critics[0], critics[1], atol=1e-6)
    assert not np.allclose(critics[0], critics[2], atol=1e-6)


def test_the_plan_names_sizes_and_missing_files(recipe):
    facts = plan(load_recipe(recipe), recipe.parent)
    assert facts["inputs"] == 480 and facts["tables_per_update"] == 48
    assert facts["policy_parameters"] == 480 * 16 + 16 + 16 * 38 + 38 + 17
    with pytest.raises(DataError, match="no file"):
        plan(load_recipe(recipe, ["deals.files=['none.npz']"]), recipe.parent)


def test_no_deal_is_trained_on_and_measured_on(recipe):
    learn, held = load_deals([recipe.parent / "deals.npz"], torch.device("cpu"))
    assert len(learn) + len(held) == 300 and len(held) > 10
    assert not symmetry.is_evaluation(learn.owner.numpy()).any()
    assert symmetry.is_evaluation(held.owner.numpy()).all()
    generator = torch.Generator().manual_seed(1)
    drawn = learn.draw(500, generator, permute=True)  # more than there are: with repetition
    assert len(drawn) == 500
    assert not symmetry.is_evaluation(drawn.owner.numpy()).any()


def test_suits_are_permuted_as_in_numpy():
    deals = made_up_deals(24)
    orders = torch.from_numpy(SUIT_ORDERS)
    owner, tricks = permute_suits(deals.owner, deals.tricks, orders)
    expected = symmetry.permute_suits(deals.owner.numpy(), deals.tricks.numpy(), SUIT_ORDERS)
    assert np.array_equal(owner.numpy(), expected[0])
    assert np.array_equal(tricks.numpy(), expected[1])


def test_a_draw_without_repetition_as_long_as_it_lasts():
    deals = made_up_deals(30)
    source = DealSource(deals.owner, deals.tricks)
    drawn = source.draw(30, torch.Generator().manual_seed(1), permute=False)
    assert len(np.unique(drawn.owner.numpy(), axis=0)) == 30
    assert drawn.dealer.unique().tolist() == [0, 1, 2, 3]


def test_the_rates_follow_the_recipe(recipe, tmp_path, monkeypatch):
    told = []
    real = training_loop.ppo_update

    def noted(*arguments, **options):
        told.append((options["rate"], options["critic_rate"]))
        return real(*arguments, **options)

    monkeypatch.setattr(training_loop, "ppo_update", noted)
    _train(
        recipe, tmp_path / "run",
        ["imitation.updates=0", "ppo.rate=1e-3", "ppo.rate_end=1e-4", "ppo.critic_rate=2e-3",
         "ppo.critic_rate_end=1e-3"],
    )  # fmt: skip
    rates, critic_rates = zip(*told, strict=True)
    assert rates[0] == 1e-3 and list(rates) == sorted(rates, reverse=True) and rates[-1] > 1e-4
    assert critic_rates[0] == 2e-3 and 1e-3 < critic_rates[-1] < 2e-3
