"""How much of a batch's policy gradient is signal, by what is trusted and what is passed over.

Usage: python -m benchmarks.bridge_gradient RUN [--batches 16] [--boards 4096] [--deals FILE ...]

RUN is the directory of a training with a privileged critic: policy, critic and Adam's moments are
taken from its newest checkpoint. Batches of self-play are made with this policy, none is learnt
from. With `g` the gradient of one batch under some setting and `G` the true one,

    power = <E g, G>² / (E |g|² · |G|²)

is the expected share of a batch's gradient that points the right way: the number of decisions that
a step of given quality needs is one over it. `G` is not known; its inner products are those with
*other* batches under the unbiased setting (λ = 1, nothing passed over), so no noise is counted
twice. `right` is the cosine of `E g` and `G`: 1 without bias. Both are in the metric of Adam's
second moments, where the steps are made. Errors: jackknife over batches.
"""

import argparse
import math
from pathlib import Path

import torch
from benchmarks.run import RECORDS, circumstances
from torch import Tensor

from trine.bridge.config import RewardConfig, SearchConfig, load_recipe, resolve_deals
from trine.bridge.critic_view import EXTRA_INPUTS
from trine.bridge.network import PolicyNetwork, PrivilegedCritic, mask_illegal
from trine.bridge.observation import make_observation
from trine.bridge.packed_bits import unpack_bits
from trine.bridge.players import Actor
from trine.bridge.search import make_strategy
from trine.bridge.self_play import Batch, play_batch
from trine.bridge.training_deals import load_deals
from trine.bridge.training_state import load_module
from trine.core.artifacts import read_arrays, write_json
from trine.core.config import to_plain

UNBIASED = (1.0, 1.0)
SETTINGS = [
    UNBIASED, (1.0, 0.9), (1.0, 0.5), (1.0, 0.2), (1.0, 0.0),
    (0.99, 1.0), (0.99, 0.6), (0.99, 0.2), (0.99, 0.0), (0.9, 0.2),
]  # fmt: skip
"""Threshold of settled decisions and λ."""


def gradients(
    batch: Batch, policy: PolicyNetwork, critic: PrivilegedCritic
) -> dict[tuple[float, float], Tensor]:
    """The gradient of one batch under every setting, each `[parameters]`."""
    weights = [p for name, p in policy.named_parameters() if not name.startswith("value")]
    totals = {setting: torch.zeros(sum(p.numel() for p in weights)) for setting in SETTINGS}
    with torch.no_grad():
        values = torch.cat(
            [critic(_inputs(batch, rows)) for rows in torch.arange(len(batch.call)).split(16_384)]
        )
    signal = {}
    for settled, gae_lambda in SETTINGS:
        rows = (batch.highest < (settled if settled < 1 else math.inf)).nonzero()[:, 0]
        found, _ = batch.advantages(
            rows, values[rows], discount=1.0, gae_lambda=gae_lambda, stride=1
        )
        signal[settled, gae_lambda] = torch.zeros(len(values)).index_copy(0, rows, found)
    for rows in torch.arange(len(batch.call)).split(16_384):
        x = unpack_bits(batch.bits[rows], batch.inputs)
        log_p = torch.log_softmax(mask_illegal(policy.logits(x), batch.legal[rows]), -1)
        made = log_p.gather(1, batch.call[rows][:, None])[:, 0]
        for setting, advantage in signal.items():
            parts = torch.autograd.grad((advantage[rows] * made).sum(), weights, retain_graph=True)
            totals[setting] += torch.cat([part.flatten() for part in parts]) / len(batch.call)
    return totals


def _inputs(batch: Batch, rows: Tensor) -> Tensor:
    x = unpack_bits(batch.bits[rows], batch.inputs)
    return batch.view.inputs(x, batch.table[rows], batch.seat[rows], batch.now[rows])


def measure(found: Tensor, reference: Tensor) -> tuple[float, float]:
    """`power` and `right` of gradients `[batches, parameters]`, see the module."""
    n = len(found)
    pairs = n * (n - 1)

    def across(a: Tensor, b: Tensor) -> float:
        return float((a.sum(0) @ b.sum(0) - (a * b).sum()) / pairs)

    cross, true = across(found, reference), across(reference, reference)
    mine, length = across(found, found), float((found * found).sum(1).mean())
    if min(true, mine) <= 0:  # too few batches to see any signal
        return math.nan, math.nan
    return cross * abs(cross) / (length * true), cross / math.sqrt(mine * true)


def main() -> None:
    """Measures and prints one row a setting; the record goes to `benchmarks/records`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--boards", type=int, default=4096)
    parser.add_argument("--deals", nargs="+", help="instead of those that its recipe names")
    options = parser.parse_args()
    recipe = load_recipe(options.run / "config.toml")
    state = options.run / "checkpoints" / "state.safetensors"
    codec = make_observation(recipe.network.codec)
    policy = PolicyNetwork(recipe.network, codec.size)
    load_module(state, "policy", policy)
    critic = PrivilegedCritic(codec.size + EXTRA_INPUTS, recipe.critic.layers, recipe.critic.width)
    load_module(state, "critic", critic)
    moments = read_arrays(state)
    metric = torch.cat(
        [
            torch.from_numpy(moments[f"optimiser/policy/{place}/exp_avg_sq"]).flatten()
            for place, (name, _) in enumerate(policy.named_parameters())
            if not name.startswith("value")
        ]
    )
    scale = (metric.sqrt() + 1e-5) ** -0.5
    files = [Path(name) for name in options.deals or ()] or [
        resolve_deals(name, options.run) for name in recipe.deals.files
    ]
    deals, _ = load_deals(files, torch.device("cpu"))
    actor, strategy = Actor(policy, codec), make_strategy(SearchConfig())
    found: dict[tuple[float, float], list[Tensor]] = {setting: [] for setting in SETTINGS}
    for number in range(options.batches):
        generator = torch.Generator().manual_seed(1000 + number)
        batch = play_batch(
            deals.draw(options.boards, generator, permute=True), actor, None, 0.0, RewardConfig(),
            strategy, generator,
        )  # fmt: skip
        for setting, gradient in gradients(batch, policy, critic).items():
            found[setting].append(gradient * scale)
    stacked = {setting: torch.stack(parts) for setting, parts in found.items()}
    rows = []
    for setting, parts in stacked.items():
        power, right = measure(parts, stacked[UNBIASED])
        without = [
            measure(_but(parts, left), _but(stacked[UNBIASED], left)) for left in range(len(parts))
        ]
        errors = [
            math.sqrt((len(parts) - 1) * torch.tensor(column).var(correction=0))
            for column in zip(*without, strict=True)
        ]
        row = {
            "settled": setting[0], "lambda": setting[1], "power": power, "power_se": errors[0],
            "right": right, "right_se": errors[1],
        }  # fmt: skip
        rows.append(row)
        print(
            f"settled {setting[0]:.2f}  λ {setting[1]:.1f}  power {power:.4f} ± {errors[0]:.4f}  "
            f"right {right:.2f} ± {errors[1]:.2f}"
        )
    if any(math.isnan(row["power_se"]) for row in rows):
        raise SystemExit("no signal can be seen: more batches, or more boards; nothing is recorded")
    about = circumstances() | {
        "command": f"python -m benchmarks.bridge_gradient {options.run.name}",
        "torch": torch.__version__, "deals": len(deals),
        **{part: to_plain(getattr(recipe, part)) for part in ("network", "critic", "ppo")},
        "batches": options.batches, "boards": options.boards, "seeds": "1000 and following",
    }  # fmt: skip
    write_json(RECORDS / "bridge-gradient.json", {**about, "rows": rows})


def _but(parts: Tensor, left: int) -> Tensor:
    return torch.cat([parts[:left], parts[left + 1 :]])


if __name__ == "__main__":
    main()
