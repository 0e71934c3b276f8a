"""`run_audit`: from checkpoint files to a run directory, and every way to ask for it wrongly."""

from pathlib import Path

import polars as pl
import pytest
import torch
from torch import nn

from trine.core.artifacts import read_json
from trine.core.errors import DataError, MissingExtra, UsageError
from trine.dynamics.bn_report import parse_roles, run_audit, torchvision_network


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    first, second = nn.BatchNorm1d(3), nn.BatchNorm1d(2)
    with torch.no_grad():
        first.bias.copy_(torch.tensor([-1.0, -1.0, 1.0]))
        second.bias.copy_(torch.tensor([1.0, 2.0]))
    network = nn.Sequential(first, nn.ReLU(), nn.Linear(3, 2), second)
    torch.save(network.state_dict(), tmp_path / "toy.pt")
    return tmp_path / "toy.pt"


def test_a_run_directory_with_everything(checkpoint: Path) -> None:
    said: list[str] = []
    run, document, tables = run_audit([checkpoint], roles=["0=before_relu"], say=said.append)
    assert run.is_finished
    rows = {(row["layer"], row["role"]): row for row in document}
    assert set(rows) == {
        ("0", "before_relu"), ("3", "unknown"), ("pooled", "all"), ("pooled", "before_relu"),
        ("pooled", "unknown"),
    }  # fmt: skip
    assert all(row["name"] == "toy" for row in document)
    assert rows["pooled", "all"]["negative_fraction"] == 2 / 5
    assert rows["0", "before_relu"]["channels"] == 3
    assert read_json(run.directory / "audit.json") == document
    saved = pl.read_csv(run.tables / "layers.csv")
    assert saved["negative"].to_list() == [2, 0]
    for name in ("negative-fractions", "bias-histograms"):
        assert (run.figures / f"{name}.svg").is_file()
    assert pl.read_csv(run.figures / "bias-histograms.csv")["bias"].sum() == 2
    page = run.report.read_text()
    assert "Signs of BatchNorm biases" in page
    assert page.count("<svg") == 2
    assert tables[0].title.startswith("Negative BatchNorm biases, pooled")
    assert len(said) == 1
    assert said[0].startswith("1 layers have an unknown role")


def test_another_content_is_another_run(checkpoint: Path) -> None:
    first, *_ = run_audit([checkpoint])
    again, *_ = run_audit([checkpoint])
    torch.save(nn.Sequential(nn.BatchNorm1d(3)).state_dict(), checkpoint)
    changed, document, _ = run_audit([checkpoint])
    assert first.directory == again.directory != changed.directory
    assert document[0]["negative"] == 0


def test_nothing_to_audit() -> None:
    with pytest.raises(UsageError, match="nothing to audit; accepted: checkpoint files"):
        run_audit([])


def test_a_broken_file_leaves_no_run(tmp_path: Path) -> None:
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(DataError, match="truncated or no checkpoint"):
        run_audit([tmp_path / "noise.pt"], root=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_roles_as_text() -> None:
    assert parse_roles(["*.bn1=before_relu", "a=b=unknown"]) == {
        "*.bn1": "before_relu",
        "a=b": "unknown",
    }
    with pytest.raises(UsageError, match=r"--role 'bn1'; accepted: PATTERN=ROLE"):
        parse_roles(["bn1"])


FAKE = """
from torch import nn
class _Weights:
    class DEFAULT:
        url = "https://example.org/models/tiny-123.pth"
def list_models():
    return ["tiny_bn", "vgg16_bn"]
def get_model_weights(name):
    return _Weights
def get_model(name, weights):
    assert weights is None
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU())
"""


@pytest.fixture
def torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name with one tiny model, and the place where its weights would be."""
    package = tmp_path / "site" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(package.parent))
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints" / "tiny-123.pth"


def test_torchvision_from_weights_on_this_machine(torchvision: Path) -> None:
    torchvision.parent.mkdir(parents=True)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU())
    torch.save(model.state_dict(), torchvision)
    network, places = torchvision_network("tiny_bn")
    assert network.name == "tiny_bn"
    assert {layer: place.role for layer, place in places.items()} == {"1": "before_relu"}
    _, document, _ = run_audit([], torchvision=["tiny_bn"])
    assert {row["name"] for row in document} == {"tiny_bn"}


def test_torchvision_downloads_nothing(torchvision: Path) -> None:
    with pytest.raises(DataError, match=r"tiny_bn are not on this machine.*nothing is downloaded"):
        torchvision_network("tiny_bn")
    assert not torchvision.parent.exists()
    with pytest.raises(UsageError, match=r"unknown torchvision model 'vgg16_nb'.*'vgg16_bn'"):
        torchvision_network("vgg16_nb")


def test_torchvision_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs the package torchvision.*pip install torchv"):
        torchvision_network("vgg16_bn")
