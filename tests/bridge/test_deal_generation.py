import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trine.bridge import deal_generation
from trine.bridge.deal_generation import Pace, block_owner, generate_deals
from trine.bridge.deals import read_solved_deals
from trine.bridge.deals_file import DealsFile
from trine.bridge.deals_summary import summary
from trine.bridge.evaluation_sets import evaluation_set
from trine.bridge.symmetry import is_evaluation
from trine.core.errors import Interrupted, UsageError
from trine.core.executors import SerialExecutor
from trine.core.progress import SilentProgress

pytest.importorskip("endplay")


def _quick_tables(owner: np.ndarray) -> np.ndarray:
    """Something that depends on the deal, in place of the solver."""
    return (owner[:, :20] * 3 + owner[:, 20:40]).astype(np.uint8) % 14


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deal_generation, "solve_tables", _quick_tables)


def _generate(path: Path, count: int, seed: int = 1, part: str = "all", said=None):
    return generate_deals(
        path,
        count,
        seed=seed,
        part=part,
        executor=SerialExecutor(),
        progress=SilentProgress(),
        say=(lambda _: None) if said is None else said.append,
        say_every=0.0,
    )


def test_a_seed_gives_its_deals(tmp_path: Path):
    made = _generate(tmp_path / "a", 100)
    assert (made.deals, made.solved) == (100, 100)
    deals = read_solved_deals(tmp_path / "a")
    assert (deals.owner[40:80] == block_owner(1, seed=1, part="all")).all()
    assert (deals.tricks == _quick_tables(deals.owner)).all()
    _generate(tmp_path / "b", 100)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    _generate(tmp_path / "c", 100, seed=2)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_a_file_grows_without_loss(tmp_path: Path):
    _generate(tmp_path / "a", 50)
    made = _generate(tmp_path / "a", 130)
    assert (made.deals, made.solved) == (130, 90)  # the short block of ten is made anew
    _generate(tmp_path / "b", 130)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert _generate(tmp_path / "a", 20).deals == 130  # nothing is thrown away


def test_a_damaged_block_is_made_anew(tmp_path: Path):
    path = tmp_path / "a"
    _generate(path, 100)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert _generate(path, 100).solved == 20
    assert path.read_bytes() == whole


def test_ctrl_c_keeps_whole_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []

    def stopped(owner: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return _quick_tables(owner)

    with monkeypatch.context() as patch:
        patch.setattr(deal_generation, "solve_tables", stopped)
        with pytest.raises(Interrupted, match=r"80 of 200 deals are in .*; run the same command"):
            _generate(tmp_path / "a", 200)
    said: list[str] = []
    assert _generate(tmp_path / "a", 200, said=said).solved == 120
    assert "has 80 of 200 deals; going on" in said[0]
    assert "deals/s" in said[1]
    _generate(tmp_path / "b", 200)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


_KILLED = """
import sys, time
from pathlib import Path
from trine.bridge import deal_generation
from trine.core.executors import SerialExecutor
from trine.core.progress import SilentProgress

def slow(owner):
    time.sleep(0.05)
    return (owner[:, :20] * 3 + owner[:, 20:40]) % 14

deal_generation.solve_tables = slow
deal_generation.generate_deals(
    Path(sys.argv[1]), 100_000, seed=1, executor=SerialExecutor(), progress=SilentProgress()
)
"""


def test_killed_and_resumed_without_loss(tmp_path: Path):
    path = tmp_path / "a"
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(path)]) as process:
        try:
            until = time.monotonic() + 120
            while _whole_blocks(path) < 3 and time.monotonic() < until:
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
    kept = _whole_blocks(path)
    assert kept >= 3
    first = read_solved_deals(path)
    assert (first.owner[:120] == np.concatenate(_blocks(3))).all()
    with DealsFile.open(path, writable=True) as file:  # the lock of the dead is gone
        assert file.header.count == 100_000


def _whole_blocks(path: Path) -> int:
    if not path.exists():
        return 0
    with DealsFile.open(path) as file:
        return int(file.state().whole.sum())


def _blocks(count: int) -> list[np.ndarray]:
    return [block_owner(index, seed=1, part="all") for index in range(count)]


def test_parts_are_drawn_from_their_side_of_the_split(tmp_path: Path):
    _generate(tmp_path / "a", 60, part="evaluation")
    assert is_evaluation(read_solved_deals(tmp_path / "a").owner).all()
    _generate(tmp_path / "b", 60, part="train")
    assert not is_evaluation(read_solved_deals(tmp_path / "b").owner).any()


def test_a_named_set_is_known_again(tmp_path: Path):
    chosen = evaluation_set("evaluation-500")
    _generate(tmp_path / "a", chosen.count, seed=chosen.seed, part=chosen.part)
    facts = summary(tmp_path / "a")
    assert (facts["set"], facts["deals"], facts["evaluation"]) == ("evaluation-500", 500, 500)
    assert summary("sample:random-10k")["set"] is None
    with pytest.raises(UsageError, match="unknown evaluation set 'evaluation-1k'"):
        evaluation_set("evaluation-1k")


def test_another_seed_does_not_mix_in(tmp_path: Path):
    _generate(tmp_path / "a", 10)
    with pytest.raises(UsageError, match="holds seed 1, part all, not seed 2, part train"):
        _generate(tmp_path / "a", 10, seed=2, part="train")
    with pytest.raises(UsageError, match="0 deals; accepted: an integer from 1 upward"):
        _generate(tmp_path / "b", 0)
    with pytest.raises(UsageError, match="unknown part 'eval'"):
        _generate(tmp_path / "b", 1, part="eval")


def test_the_pace_is_the_recent_one():
    now = [0.0]
    pace = Pace(1000, window=10.0, clock=lambda: now[0])
    assert str(pace) == "no rate yet"
    for _ in range(10):
        now[0] += 10
        pace.advance(40)
    assert pace.rate == pytest.approx(4.0)
    assert str(pace) == "4.00 deals/s, 2 min left"
    for _ in range(5):
        now[0] += 40
        pace.advance(40)
    assert str(pace) == "1.00 deals/s, 7 min left"
