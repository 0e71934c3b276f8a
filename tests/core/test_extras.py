import tomllib
from pathlib import Path

import pytest

from trine.core import extras
from trine.core.errors import MissingExtra, UsageError


def test_extras_are_those_of_the_distribution():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    declared = tomllib.loads(text)["project"]["optional-dependencies"]
    assert set(extras.EXTRAS) == set(declared) - {"dev", "all"}


def test_a_missing_extra_names_its_install_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "EXTRAS", {"oracle": ("no_such_module",)})
    assert not extras.available("oracle")
    with pytest.raises(MissingExtra) as caught:
        extras.require("oracle", "loading an OpenSpiel game")
    assert str(caught.value) == (
        "loading an OpenSpiel game needs the extra 'oracle' (not installed: no_such_module); "
        "run: pip install 'trine[oracle]'"
    )


def test_an_installed_extra_passes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "EXTRAS", {"oracle": ("json",)})
    extras.require("oracle")


def test_an_unknown_extra_is_refused():
    with pytest.raises(UsageError, match="did you mean 'oracle'"):
        extras.require("orcale")
