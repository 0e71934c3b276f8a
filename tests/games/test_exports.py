"""The short public surface of `trine.games` is true, and importing it costs nothing."""

import subprocess
import sys
from types import ModuleType

import pytest

import trine.games


@pytest.mark.parametrize("name", trine.games.__all__)
def test_every_exported_name_exists(name: str) -> None:
    # A module here would mean that a function is hidden behind the module of its name.
    assert not isinstance(getattr(trine.games, name), ModuleType)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'joint_policy_serach'"):
        _ = trine.games.joint_policy_serach


def test_importing_the_package_imports_no_library() -> None:
    code = "import sys, trine.games; print([m for m in ('numpy', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
