import numpy as np
import pytest
import torch

from tests.bridge.positions import CODEC, actor, made_up_deals
from trine.bridge.calls import DOUBLE, PASS
from trine.bridge.config import ImitationConfig, NetworkConfig
from trine.bridge.imitation import agreement, decisions_of, imitate, split_decisions
from trine.bridge.network import PolicyNetwork
from trine.bridge.players import draw
from trine.bridge.recorded_auctions import RecordedAuctions, held_out_mask
from trine.bridge.symmetry import is_evaluation, permute_suits
from trine.core.errors import DataError, Interrupted
from trine.core.records import MetricsWriter, read_metrics
from trine.core.seeding import Seeds

CPU = torch.device("cpu")


def recorded(count=120, seed=1) -> RecordedAuctions:
    """Auctions of a small random network that always takes its favourite call."""
    deals = made_up_deals(count, seed)
    tables, bidder = deals.tables(1), actor(temperature=0.0)
    calls = np.full((count, 60), -1, dtype=np.int8)
    rows, step = torch.arange(count), 0
    while len(rows):
        x, legal = bidder.observe(tables)
        made = draw(bidder.probabilities(x, legal), torch.Generator().manual_seed(1))
        calls[rows.numpy(), step] = made.numpy()
        tables, step = tables.after(made), step + 1
        keep = (~tables.auctions.done).nonzero()[:, 0]
        rows, tables = rows[keep], tables.select(keep)
    return RecordedAuctions(
        deals.owner.numpy(),
        deals.dealer.numpy().astype(np.uint8),
        deals.vulnerability.numpy().astype(np.uint8),
        calls[:, :step],
    )


def _source(auctions):
    return torch.zeros(len(auctions), dtype=torch.uint8)


def test_every_call_is_a_decision_and_the_bidder_agrees_with_itself():
    auctions = recorded()
    found = decisions_of(auctions, _source(auctions), CODEC, CPU)
    assert len(found) == (auctions.calls >= 0).sum() and found.dropped == 0
    told = agreement(actor().network, found, ["self"])
    assert told["agreement"] == 1
    assert sum(row["decisions"] for row in told["by_type"]) == len(found)
    assert told["by_source"] == [{"file": "self", "decisions": len(found), "agreement": 1.0}]


def test_calls_are_sorted_by_type():
    auctions = recorded()
    found = decisions_of(auctions, _source(auctions), CODEC, CPU)
    rows = {r["call"]: r["decisions"] for r in agreement(actor().network, found, ["x"])["by_type"]}
    assert rows["pass"] == (auctions.calls == PASS).sum()
    assert rows.get("double", 0) == (auctions.calls == DOUBLE).sum()
    ones = ((auctions.calls >= 0) & (auctions.calls < 5)).sum()
    assert rows.get("bid at 1", 0) == ones


def test_auctions_that_break_the_rules_are_left_out():
    auctions = recorded(6)
    auctions.calls[0, 0] = DOUBLE  # nothing to double
    length = int((auctions.calls[1] >= 0).sum())
    auctions.calls[1, length - 1] = -1  # unfinished
    found = decisions_of(auctions, _source(auctions), CODEC, CPU)
    assert found.dropped == 2
    assert len(found) == (auctions.calls[2:] >= 0).sum()


def test_no_evaluation_deal_is_learnt_and_no_guise_of_a_held_out_one():
    auctions = recorded(2000)
    held = held_out_mask(auctions.owner, 0.2)
    evaluation = is_evaluation(auctions.owner)
    assert 0.15 < held.mean() < 0.25 and evaluation.any()
    assert not (held & evaluation).any()
    other, _ = permute_suits(auctions.owner, np.zeros((2000, 20), np.uint8), np.array([3, 1, 0, 2]))
    assert np.array_equal(held_out_mask(other, 0.2), held)
    learn, measured = split_decisions(auctions, _source(auctions), CODEC, 0.2, CPU)
    whole = (auctions.calls >= 0).sum(1)
    assert len(learn) == whole[~held & ~evaluation].sum()
    assert len(measured) == whole[held].sum()


def _learn(tmp_path, name, stop_at=None):
    auctions = recorded()
    learn, held = split_decisions(auctions, _source(auctions), CODEC, 0.2, CPU)
    network = PolicyNetwork(NetworkConfig(layers=1, width=32), CODEC.size)
    network.reset(torch.Generator().manual_seed(3))
    config = ImitationConfig(
        auctions=("x",), updates=40, minibatch=64, rate=3e-3, evaluate_every=10
    )

    def metrics():
        return _Stopping(tmp_path / f"{name}.jsonl", stop_at)

    try:
        found = imitate(
            network, learn, held, ["x"], config,
            state=tmp_path / f"{name}.safetensors", seeds=Seeds(1), metrics=metrics,
        )  # fmt: skip
    except Interrupted:
        return None, network
    return found, network


class _Stopping(MetricsWriter):
    def __init__(self, path, stop_at):
        super().__init__(path)
        self.stop_at = stop_at

    def write(self, **values):
        if values["update"] == self.stop_at:
            raise Interrupted("killed")
        super().write(**values)


def test_learning_agrees_more_and_more(tmp_path):
    found, _ = _learn(tmp_path, "a")
    rows = read_metrics(tmp_path / "a.jsonl")
    assert rows["update"].to_list() == [10, 20, 30, 40]
    assert rows["train_loss"][-1] < 0.7 * rows["train_loss"][0]
    assert found is not None and found["agreement"] > 0.3


def test_a_stopped_imitation_ends_where_it_would_have_ended(tmp_path):
    _, whole = _learn(tmp_path, "a")
    stopped, _ = _learn(tmp_path, "b", stop_at=30)
    assert stopped is None
    _, resumed = _learn(tmp_path, "b")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_too_few_auctions_to_split():
    auctions = recorded(1)
    with pytest.raises(DataError, match="none to"):
        split_decisions(auctions, _source(auctions), CODEC, 0.5, CPU)
