"""The short public surface of `trine.dynamics` is true, and importing it costs nothing."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import trine.dynamics


@pytest.mark.parametrize("name", trine.dynamics.__all__)
def test_every_exported_name_exists(name: str) -> None:
    # A module here would mean that a function is hidden behind the module of its name.
    assert not isinstance(getattr(trine.dynamics, name), ModuleType)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NodeMatchin'"):
        _ = trine.dynamics.NodeMatchin


def test_importing_the_package_imports_no_library() -> None:
    code = (
        "import sys, trine.dynamics;"
        "print([m for m in ('numpy', 'torch', 'polars') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_map_names_every_module() -> None:
    folder = Path(str(trine.dynamics.__file__)).parent
    rooms = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    missing = {name for name in rooms if f"`{name}`" not in str(trine.dynamics.__doc__)}
    assert not missing
