"""T2: signs of BatchNorm biases, from what is shipped and from what is at hand."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from trine.core.seeding import Seeds
from trine.dynamics.bn_audit import POOLED, audit, audit_frame, shipped_arrays, shipped_results
from trine.dynamics.bn_roles import Place
from trine.dynamics.checkpoints import BatchNormLayer, Network
from trine.dynamics.cifar import CLASS_NAMES, Cifar10
from trine.dynamics.experiments import bn_signs
from trine.dynamics.experiments.base import ExperimentContext
from trine.dynamics.experiments.bn_signs import experiment, full_recipes, judge
from trine.dynamics.vgg import LAYERS
from trine.dynamics.vgg_training import VggConfig


def test_shipped_arrays_are_those_of_the_shipped_results() -> None:
    networks = audit([shipped_arrays()])
    results = {result["name"]: result for result in shipped_results()}
    assert {network.name for network, _ in networks} == set(results)
    for network, places in networks:
        recipe = VggConfig(**results[network.name]["recipe"])
        assert network.name == recipe.label
        widths = [round(w * recipe.width) for group in LAYERS[recipe.depth] for w in group]
        assert [len(layer.bias) for layer in network.layers] == widths
        assert {place.role for place in places.values()} == {"before_relu"}
        # Trained: no bias is where it started, and the network knows much more than chance.
        assert all((layer.bias != 0).all() for layer in network.layers)
        assert 0.5 < results[network.name]["test_accuracy"] < 1
    depths = {result["recipe"]["depth"] for result in results.values()}
    assert depths == set(LAYERS)
    assert {result["recipe"]["norm_decay"] for result in results.values()} == {True, False}


def toy(name: str, shares: list[float], decay: bool) -> tuple[Any, dict[str, Any]]:
    """A network of one layer of 100 channels for each share of negative biases."""
    layers = tuple(
        BatchNormLayer(str(n), np.where(np.arange(100) < 100 * share, -1.0, 1.0))
        for n, share in enumerate(shares)
    )
    places = {layer.layer: Place("before_relu") for layer in layers}
    return (Network(name, layers), places), {"name": name, "recipe": {"norm_decay": decay}}


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ([[0.8] * 6, [0.9] * 6], "holds"),
        ([[0.8] * 6, [1.0, 1.0, 1.0, 0.0, 0.1, 0.2]], "holds in part"),  # .55, but .2 is in reach
        ([[0.8] * 6, [0.4] * 6], "holds in part"),  # with decay only
        ([[0.4] * 6, [0.5] * 6], "does not hold"),  # one half is no majority
    ],
)
def test_the_verdict_follows_its_rule(shares: list[list[float]], verdict: str) -> None:
    pairs = [toy(f"net{n}", share, decay=n == 0) for n, share in enumerate(shares)]
    frame = audit_frame([audited for audited, _ in pairs], Seeds(0))
    found, because = judge(frame, [result for _, result in pairs])
    assert found == verdict
    assert f"{np.mean(shares[0]):.3f} in 1 networks" in because


def test_it_works_with_nothing_but_the_package(tmp_path: Path) -> None:
    finding = experiment(ExperimentContext(tmp_path))
    written = pl.read_csv(tmp_path / "tables" / "pooled.csv").with_columns(layer=pl.lit(POOLED))
    assert (finding.verdict, finding.because) == judge(written, shipped_results())
    assert finding.settings["controls"] == "not at hand"
    assert finding.tables[0].frame.height == len(shipped_results()) == finding.settings["networks"]
    assert finding.seeds >= 1
    assert len(finding.figures) == 3
    saved = pl.read_csv(tmp_path / "tables" / "layers.csv")
    pooled = finding.tables[1].frame
    for name in pooled["name"].unique():
        # The pooled rows are the sums of the saved layers.
        mine = saved.filter(pl.col("name") == name)
        row = pooled.filter(pl.col("name") == name, pl.col("role") == "all").row(0, named=True)
        assert row["negative"] == mine["negative"].sum()
        assert row["channels"] == mine["channels"].sum()


def test_full_recipes_are_the_four_depths_with_their_control() -> None:
    recipes = full_recipes()
    assert sorted({recipe.depth for recipe in recipes}) == [11, 13, 16, 19]
    assert all(recipe.width == 1 for recipe in recipes)
    assert len({recipe.label for recipe in recipes}) == 8


def test_a_gpu_trains_full_widths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that wants a GPU, walked on the CPU with one tiny network."""
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(20, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(20) % 10
    data = Cifar10(images, labels, images, labels, CLASS_NAMES)
    tiny = VggConfig(width=0.05, epochs=1, batch=10, device="cpu", seed=7)
    monkeypatch.setattr(bn_signs, "full_recipes", lambda: [tiny])
    monkeypatch.setattr(bn_signs, "load_cifar10", lambda root: data)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    context = ExperimentContext(tmp_path, scale="paper", data=tmp_path)
    finding = experiment(context)
    assert "vgg11-w0.05-s7" in finding.tables[0].frame["name"].to_list()
    assert finding.settings["width"] == "0.05 and 0.25"
    assert "1 networks of full width were trained here." in finding.notes


def test_without_a_gpu_or_images_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRINE_DATA", raising=False)
    for gpu, expected in ((False, "no GPU here"), (True, "TRINE_DATA is not set")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        files, results, note = bn_signs._trained(ExperimentContext(tmp_path, scale="paper"))
        assert files == results == []
        assert expected in note


@pytest.mark.data
def test_controls_join_when_they_are_at_hand(tmp_path: Path) -> None:
    data = Path(os.environ.get("TRINE_DATA", "nowhere"))
    if not (data / "vgg_bn" / "bn_params.npz").is_file():
        pytest.skip("$TRINE_DATA/vgg_bn/bn_params.npz is not here")
    finding = experiment(ExperimentContext(tmp_path, data=data))
    pooled = finding.tables[1].frame.filter(pl.col("role") == "all")
    assert (
        round(pooled.filter(pl.col("name") == "cifar_resnet56")["negative_fraction"].item(), 3)
        == 0.856
    )
    assert POOLED not in pooled.columns
    # Controls do not move the verdict.
    alone = experiment(ExperimentContext(tmp_path / "alone"))
    assert (finding.verdict, finding.because) == (alone.verdict, alone.because)


def test_damaged_controls_are_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "data" / "vgg_bn").mkdir(parents=True)
    (tmp_path / "data" / "vgg_bn" / "bn_params.npz").write_bytes(b"PK\x03\x04 cut short")
    finding = experiment(ExperimentContext(tmp_path / "damaged", data=tmp_path / "data"))
    alone = experiment(ExperimentContext(tmp_path / "alone"))
    assert (finding.verdict, finding.because) == (alone.verdict, alone.because)
    assert any(n.startswith("Controls left out: ") and "bn_params.npz" in n for n in finding.notes)
