"""The network at the table in numpy against the one in torch; the bot that comes with Trine."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bridge.positions import small_network
from tests.bridge.test_bots import positions
from trine.bridge.bots import shipped
from trine.bridge.bots.base import Observations, PolicyBot
from trine.bridge.bots.fast_neural import ENCODINGS, FastNeuralBot
from trine.bridge.bots.neural import NeuralBot, replay
from trine.bridge.bots.registry import make_bot
from trine.bridge.calls import PASS
from trine.bridge.cards import parse_hand
from trine.bridge.network import save_network
from trine.bridge.observation import make_observation
from trine.core.artifacts import read_arrays, read_metadata, write_arrays
from trine.core.errors import DataError


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_network(tmp_path / "small.safetensors", small_network())


@pytest.mark.parametrize("codec", list(ENCODINGS))
def test_positions_are_encoded_as_in_self_play(codec: str):
    import torch

    _, seen = positions(300)
    x = ENCODINGS[codec](seen)
    lengths = (seen.calls >= 0).sum(1)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        part = seen.take(rows)
        wanted = make_observation(codec).encode(replay(part), torch.from_numpy(part.hands))
        assert (x[rows] == wanted.numpy()).all()


def test_the_same_probabilities_as_with_torch(weights: Path):
    fast, slow = FastNeuralBot(weights), NeuralBot(weights)
    _, seen = positions(200)
    assert isinstance(fast, PolicyBot)
    np.testing.assert_allclose(fast.probabilities(seen), slow.probabilities(seen), atol=1e-5)
    assert not fast.probabilities(seen)[~seen.legal].any()
    assert fast.probabilities(seen.take(np.arange(0))).shape == (0, 38)
    assert make_bot(str(weights)).name == "small"


def test_the_shipped_bot(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(shipped, "WEIGHTS", weights)
    assert make_bot("trine").name == "trine"
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(DataError, match="the bot 'trine' has no network in this installation"):
        make_bot("trine")


@pytest.mark.skipif(not shipped.WEIGHTS.is_file(), reason="no network is shipped yet")
def test_the_network_that_comes_with_trine_opens_as_everybody_would():
    bot = make_bot("trine")
    hands = np.stack([parse_hand("AKQ52.K83.A4.J72"), parse_hand("5432.432.432.432")])
    first = bot.calls(Observations.same_auction(hands, (), 0, 0))
    assert first[0] < PASS and first[1] == PASS


def test_another_codec_is_refused(weights: Path, tmp_path: Path):
    metadata = read_metadata(weights)
    other = {**metadata, "network": metadata["network"].replace("lockhart480", "other")}
    path = write_arrays(tmp_path / "other.safetensors", read_arrays(weights), other)
    with pytest.raises(DataError, match="sees with codec 'other'; accepted: lockhart480, pgx480"):
        FastNeuralBot(path)


def test_a_network_bids_without_torch(weights: Path):
    program = (
        "import sys; from trine.bridge.bots.registry import make_bot; "
        f"make_bot({str(weights)!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
