"""T2: signs of BatchNorm biases in trained VGGs, with controls (Tian et al. 2019; spec 7.4).

The paper looks at VGG11, 13, 16 and 19 trained on ImageNet. Those weights are not shipped; what is,
are the BatchNorm arrays of VGGs that we trained on CIFAR-10 (`trine.dynamics.data`), narrowed to a
quarter of the channels so that one CPU core could do it. Where a GPU and CIFAR-10 are at hand, the
scale `paper` trains all four at full width as well. `$TRINE_DATA/vgg_bn` adds ResNets,
EfficientNet-Lite and CREPE, whose roles differ: the controls.

Verdict, over every VGG (each layer of a VGG stands directly before a ReLU):
  holds           in each, the 95 % interval of the share of negative biases, by a bootstrap over
                  layers, lies above one half; with decay on BatchNorm and without;
  holds in part   in each, the share is above one half, but some interval reaches down to it, or
                  it is so only with decay or only without;
  does not hold   otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from trine.core.artifacts import read_json
from trine.core.errors import DataError
from trine.core.figures import save_figure
from trine.core.report import Picture, picture
from trine.core.tables import Column, Table, save_table
from trine.dynamics.bn_audit import (
    POOLED,
    Audited,
    audit,
    audit_frame,
    audit_tables,
    bias_frame,
    shipped_arrays,
    shipped_results,
)
from trine.dynamics.bn_pictures import bias_histograms, layer_profile, negative_fractions
from trine.dynamics.cifar import load_cifar10
from trine.dynamics.experiments.base import ExperimentContext, Finding, Verdict
from trine.dynamics.vgg import LAYERS
from trine.dynamics.vgg_training import VggConfig, train_vgg

__all__ = ["experiment", "full_recipes", "judge"]

CLAIM = (
    "In trained VGG11, 13, 16 and 19 the majority of BatchNorm biases is negative "
    "(Tian et al. 2019, arXiv 1905.13405; there on ImageNet)."
)


def full_recipes() -> list[VggConfig]:
    """What the scale `paper` trains on a GPU: the four depths at full width, two decays each."""
    return [
        VggConfig(depth=depth, width=1.0, epochs=30, precision="bfloat16", norm_decay=decay)
        for decay in (True, False)
        for depth in LAYERS
    ]


def experiment(context: ExperimentContext) -> Finding:
    """T2: always from the shipped arrays, with all that is at hand besides."""
    results = shipped_results()
    networks = audit([shipped_arrays()])
    files, more, note = _trained(context)
    networks += audit(files)
    results += more
    frame = audit_frame(networks)
    verdict, because = judge(frame, results)
    table = _vgg_table(frame, results)
    save_table(table, context.directory / "tables", "vgg")
    controls, missing = _controls(context)
    everything = audit_frame([*networks, *controls])
    pooled, layers = audit_tables(everything)
    save_table(pooled, context.directory / "tables", "pooled")
    save_table(layers, context.directory / "tables", "layers")
    widths = sorted({f"{result['recipe']['width']:g}" for result in results})
    return Finding(
        claim=CLAIM,
        verdict=verdict,
        because=because,
        settings={
            "networks": len(results),
            "data": "CIFAR-10, 50,000 training images",
            "width": " and ".join(widths),
            "epochs": " and ".join(sorted({str(result["epoch"]) for result in results})),
            "weight decay": "0.0005, on BatchNorm too and (control) not on BatchNorm",
            "controls": "ResNet, EfficientNet-Lite, CREPE" if controls else "not at hand",
        },
        seeds=len({result["recipe"]["seed"] for result in results}),
        tables=[table, pooled],
        figures=_figures(context, [*networks, *controls], networks, everything),
        notes=[
            "Our VGGs are trained on CIFAR-10 and not on ImageNet, by our own short recipe; "
            "a pretrained one is audited by `trine dynamics audit-bn FILE`.",
            note,
            *([missing] if missing else []),
            "Negative biases are taken to mean that most units are silent on most inputs. That is "
            "not what is judged here: the active share in the table is the number for it.",
            "The bootstrap draws layers and a VGG has 8 to 16, so that intervals are wide.",
        ],
    )  # fmt: skip


def judge(frame: pl.DataFrame, results: Sequence[dict[str, Any]]) -> tuple[Verdict, str]:
    """The verdict by the rule at the head of this module, and the numbers behind it.

    Args:
      frame: an audit that has the pooled rows of every network in `results`.
      results: `name` and `recipe` (with `norm_decay`) of each VGG.
    """
    rows = {
        row["name"]: row
        for row in frame.filter(pl.col("layer") == POOLED, pl.col("role") == "all").to_dicts()
    }
    parts: list[str] = []
    above: list[bool] = []
    clear: list[bool] = []
    for decay, words in ((True, "with decay on BatchNorm"), (False, "without")):
        mine = [rows[r["name"]] for r in results if r["recipe"]["norm_decay"] is decay]
        if not mine:
            continue
        shares = [row["negative_fraction"] for row in mine]
        lows = [row["low"] for row in mine]
        above.append(min(shares) > 0.5)
        clear.append(min(lows) > 0.5)
        spread = (
            f"{min(shares):.3f}" if len(mine) == 1 else f"{min(shares):.3f} to {max(shares):.3f}"
        )
        parts.append(f"{words}: {spread} in {len(mine)} networks, lowest bound {min(lows):.3f}")
    because = "share of negative biases " + "; ".join(parts)
    if all(above) and all(clear):
        return "holds", because
    return ("holds in part" if any(above) else "does not hold"), because


def _trained(context: ExperimentContext) -> tuple[list[Path], list[dict[str, Any]], str]:
    """Networks of full width that are trained here and now, if that is asked for and possible."""
    if context.scale != "paper":
        return [], [], "Shipped arrays only; the scale `paper` trains full widths on a GPU."
    if not torch.cuda.is_available():
        return [], [], "Full widths were not trained: no GPU here. The shipped ones are narrowed."
    try:
        data = load_cifar10(context.data / "cifar10" if context.data else None)
    except DataError as error:
        return [], [], f"Full widths were not trained: {error}"
    files: list[Path] = []
    results: list[dict[str, Any]] = []
    for recipe in full_recipes():
        run, _ = train_vgg(
            recipe, data, directory=context.directory / recipe.label, progress=context.progress
        )
        files.append(run.checkpoints / "bn.safetensors")
        results.append(read_json(run.directory / "result.json"))
    return files, results, f"{len(files)} networks of full width were trained here."


def _controls(context: ExperimentContext) -> tuple[Audited, str]:
    """Other networks, and what is wrong if there are none: the verdict does not need them."""
    path = context.data / "vgg_bn" / "bn_params.npz" if context.data else None
    if path is None or not path.is_file():
        return [], "Controls: put `vgg_bn/bn_params.npz` below `$TRINE_DATA`."
    try:
        return audit([path]), ""
    except DataError as error:
        return [], f"Controls left out: {error}"


def _vgg_table(frame: pl.DataFrame, results: Sequence[dict[str, Any]]) -> Table:
    facts = pl.DataFrame(
        [
            {
                "name": result["name"],
                "depth": result["recipe"]["depth"],
                "norm_decay": result["recipe"]["norm_decay"],
                "test_accuracy": result["test_accuracy"],
            }
            for result in results
        ]
    )
    pooled = frame.filter(pl.col("layer") == POOLED, pl.col("role") == "all")
    return Table(
        facts.join(pooled, on="name", how="left", maintain_order="left"),
        "VGGs with BatchNorm, trained on CIFAR-10",
        (
            Column("name", "network"),
            Column("norm_decay", "decay on BatchNorm"),
            Column("test_accuracy", "test accuracy", ".3f"),
            Column("channels", "biases"),
            Column("negative"),
            Column("negative_fraction", "negative share", ".3f", highlight=True),
            Column("low", "95 % low", ".3f"),
            Column("high", "95 % high", ".3f"),
            Column("active_share", "active share", ".3f"),
        ),
        "Interval: bootstrap over layers. Active share: share of inputs on which a unit is on, "
        "normalised inputs taken as Gaussian, mean over units.",
    )


def _figures(
    context: ExperimentContext, audited: Audited, vggs: Audited, frame: pl.DataFrame
) -> list[Picture]:
    folder = context.directory / "figures"
    pooled = frame.filter(pl.col("layer") == POOLED, pl.col("role") != "all")
    biases = bias_frame(audited)
    names = [network.name for network, _ in vggs]
    layers = frame.filter(pl.col("layer") != POOLED, pl.col("name").is_in(names))
    straight = pooled.filter(pl.col("role") == "before_relu")["negative_fraction"]
    most = bool((straight > 0.5).all())
    dots = negative_fractions(
        frame,
        f"{'Most' if most else 'Not always most'} BatchNorm biases before a ReLU are negative",
    )
    histograms = bias_histograms(biases, "BatchNorm biases by network and role")
    profile = layer_profile(layers, "Share of negative biases along the layers of each VGG")
    return [
        picture(
            save_figure(dots, pooled, folder, "negative-fractions"),
            "One dot a network and role; bars: 95 % bootstrap over layers.",
        ),
        picture(
            save_figure(histograms, biases, folder, "bias-histograms"),
            "One count a channel, black line at 0; end bins hold what lies beyond.",
        ),
        picture(
            save_figure(profile, layers, folder, "layer-profile"),
            "One point a BatchNorm layer; bars: 95 % exact binomial, channels as independent.",
        ),
    ]
