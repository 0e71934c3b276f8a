"""How fast self-play trains on a GPU, and how much of the card's matrix peak that is.

Usage: python -m benchmarks.bridge_gpu DEALS.. [--boards 16384 65536] [--minibatch 16384]

Whole updates as `trine bridge train` makes them (play, values, one pass, both networks, in
bfloat16), from random weights of the shipped sizes: speed does not depend on what is known, but for
the length of the auctions and the share of decisions that are looked at, which are printed. Random
weights settle nothing, so give `--start NETWORK` for the speed of a training that goes on.

Matrix work is counted by torch's own counter (forward and backward products, no elementwise work);
the peak is measured in the same run by an 8192 × 8192 × 8192 product in bfloat16.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks.run import circumstances
from torch.utils.flop_counter import FlopCounterMode

from trine.bridge.config import NetworkConfig, PpoConfig, RewardConfig, SearchConfig
from trine.bridge.critic_view import EXTRA_INPUTS
from trine.bridge.network import PolicyNetwork, PrivilegedCritic, load_network
from trine.bridge.observation import make_observation
from trine.bridge.players import Actor
from trine.bridge.ppo import Learner, ppo_update
from trine.bridge.search import make_strategy
from trine.bridge.self_play import play_batch
from trine.bridge.training_deals import DealSource, load_deals
from trine.bridge.training_loop import adam, device_of
from trine.core.artifacts import write_json

LEARNING: dict[str, Any] = {
    "epochs": 1, "settled": 0.99, "gae_lambda": 0.2, "critic_lambda": 0.9, "kl_target": 0.0,
}  # fmt: skip
"""As in the last recipes of the shipped bidder."""


def matrix_peak(device: torch.device, size: int) -> float:
    """Operations a second of a large product in bfloat16 on random numbers."""
    a, b = torch.randn((2, size, size), device=device, dtype=torch.bfloat16)
    found = [_seconds(device, lambda: a @ b, 10) for _ in range(3)]
    return 2 * size**3 / min(found)


def _seconds(device: torch.device, work: Callable[[], object], times: int) -> float:
    """Mean seconds of one of `times` runs, after one to warm up."""
    work()
    _wait(device)
    began = time.perf_counter()
    for _ in range(times):
        work()
    _wait(device)
    return (time.perf_counter() - began) / times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Training:
    """One setting's networks and updates."""

    def __init__(
        self, deals: DealSource, device: torch.device, config: PpoConfig, start: Path | None,
        widths: tuple[int, int], compiled: bool,
    ) -> None:  # fmt: skip
        self.deals, self.device, self.config = deals, device, config
        self.codec = make_observation("lockhart480")
        chance = torch.Generator().manual_seed(0)
        if start:
            self.policy = load_network(start, device)
        else:
            self.policy = PolicyNetwork(NetworkConfig(layers=3, width=widths[0]), self.codec.size)
            self.policy.reset(chance).to(device)
        critic = (
            PrivilegedCritic(self.codec.size + EXTRA_INPUTS, 3, widths[1]).reset(chance).to(device)
        )
        self.learner = Learner(
            self.policy, critic, adam(self.policy, 0.0), adam(critic, 0.0), bf16=True,
            compiled=compiled,
        )  # fmt: skip
        self.generator = torch.Generator(device).manual_seed(0)
        self.strategy = make_strategy(SearchConfig())
        self.seconds_of_play = 0.0
        self.decisions = 0
        self.looked_at = 0.0

    def update(self) -> None:
        """One update; rates are 0, so that every one works on the same kind of batch."""
        began = time.perf_counter()
        generator = self.generator
        batch = play_batch(
            self.deals.draw(self.config.boards, generator, permute=True),
            Actor(self.policy, self.codec, bf16=True), None, 0.0, RewardConfig(), self.strategy,
            generator,
        )  # fmt: skip
        _wait(self.device)
        self.seconds_of_play += time.perf_counter() - began
        found = ppo_update(
            self.learner, batch, self.strategy, self.config, rate=0.0, critic_rate=0.0,
            entropy=0.001, search_weight=0.0, warmup=False,
            generator=generator,
        )  # fmt: skip
        self.decisions += len(batch.call)
        self.looked_at = found["looked_at"]


def operations_per_decision(training: Training) -> float:
    """Matrix operations of an update that is not compiled: the counter does not see into one."""
    training.decisions = 0
    with FlopCounterMode(display=False) as counter:
        training.update()
    return counter.get_total_flops() / training.decisions


def measure(training: Training, seconds: float) -> dict[str, float]:
    """Decisions a second of whole updates."""
    began = time.perf_counter()
    training.update()
    training.update()  # the second minibatch size and the last one of a batch are compiled by now
    _wait(training.device)
    warmup = time.perf_counter() - began
    training.decisions, training.seconds_of_play, updates = 0, 0.0, 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        training.update()
        _wait(training.device)
        updates += 1
    passed = time.perf_counter() - began
    return {
        "decisions_per_second": training.decisions / passed,
        "play_share": training.seconds_of_play / passed,
        "looked_at": training.looked_at,
        "updates": updates,
        "warmup_seconds": warmup,
    }


def main() -> None:
    """Measures every setting and prints a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("deals", nargs="+", help="files of solved deals, or sample:random-10k")
    parser.add_argument("--boards", nargs="+", type=int, default=[16_384, 65_536])
    parser.add_argument("--minibatch", nargs="+", type=int, default=[16_384])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--start", type=Path, help="a network to play with")
    parser.add_argument("--compile", action="store_true", help="measure compiled networks too")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu"])
    parser.add_argument("--peak-size", type=int, default=8192, help="rows of the measured product")
    parser.add_argument("--width", type=int, default=896, help="of the policy, without --start")
    parser.add_argument("--critic-width", type=int, default=512)
    parser.add_argument("--out", type=Path, help="file of the record")
    options = parser.parse_args()
    device = device_of(options.device)
    sources = [name if name.startswith("sample:") else Path(name) for name in options.deals]
    deals, _ = load_deals(sources, device)
    peak = matrix_peak(device, options.peak_size)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(f"{card}: {peak / 1e12:.0f} TFLOP/s measured in a product of {options.peak_size}³")
    widths = (options.width, options.critic_width)
    few = PpoConfig(boards=min(options.boards), minibatch=min(options.minibatch), **LEARNING)
    each = operations_per_decision(Training(deals, device, few, options.start, widths, False))
    rows = []
    for compiled in [False, True] if options.compile else [False]:
        for boards in options.boards:
            for minibatch in options.minibatch:
                config = PpoConfig(boards=boards, minibatch=minibatch, **LEARNING)
                found = measure(
                    Training(deals, device, config, options.start, widths, compiled),
                    options.seconds,
                )
                operations = each * found["decisions_per_second"]
                share = operations / peak
                rows.append(
                    {"boards": boards, "minibatch": minibatch, "compiled": compiled, **found,
                     "matrix_operations_per_second": operations, "share_of_matrix_peak": share}
                )  # fmt: skip
                print(
                    f"boards {boards:7,}  minibatch {minibatch:6,}  "
                    f"{'compiled' if compiled else 'plain   '}  "
                    f"{found['decisions_per_second']:12,.0f} decisions/s  "
                    f"play {found['play_share']:.0%}  looked at {found['looked_at']:.0%}  "
                    f"{share:.2%} of the matrix peak",
                    flush=True,
                )
    about = circumstances() | {
        "command": " ".join(["python -m benchmarks.bridge_gpu", *sys.argv[1:]]),
        "torch": torch.__version__, "card": card,
        "start": options.start.name if options.start else None, "deals": len(deals),
        "matrix_peak": peak,
    }  # fmt: skip
    if options.out:
        write_json(options.out, {**about, "rows": rows})


if __name__ == "__main__":
    main()
