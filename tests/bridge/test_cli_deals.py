import json
from pathlib import Path

import pytest

from tests.conftest import Command
from trine.bridge.deals import read_solved_deals
from trine.bridge.double_dummy import solve_tables

pytest.importorskip("endplay")


def test_generate_and_look(trine: Command, tmp_path: Path):
    line = ("bridge", "deals", "generate", "-n", "3", "--seed", "4", "--out", "a.deals", "--json")
    done = trine(*line)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["solved"] == 3
    deals = read_solved_deals(tmp_path / "a.deals")
    assert (solve_tables(deals.owner) == deals.tricks).all()
    again = json.loads(trine(*line).stdout)
    assert (again["deals"], again["solved"], again["deals_per_second"]) == (3, 0, None)
    facts = json.loads(trine("bridge", "deals", "info", "a.deals", "--json").stdout)
    assert (facts["deals"], facts["wanted"], facts["seed"], facts["part"]) == (3, 3, 4, "all")


def test_a_file_cut_short_is_told(trine: Command, tmp_path: Path):
    trine("bridge", "deals", "import", "sample:random-10k", "--out", "a.deals", "--check", "0")
    path = tmp_path / "a.deals"
    path.write_bytes(path.read_bytes()[:-5])
    done = trine("bridge", "deals", "info", "a.deals")
    assert done.returncode == 0
    assert "deals: 9960\nwanted: 10000\nbroken blocks: 1\n" in done.stdout
    assert "1 blocks are cut off or damaged" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("generate", "-n", "0"), 2, "0 deals; accepted"),
        (("generate", "-n", "5", "--part", "test"), 2, "unknown part 'test'"),
        (("generate",), 2, "neither -n nor --set; accepted: one of them"),
        (("generate", "-n", "5", "--set", "evaluation-500"), 2, "both -n and --set"),
        (("generate", "--set", "other"), 2, "unknown evaluation set 'other'"),
        (("info", "nothing.deals"), 3, "no file nothing.deals"),
        (("import", "nothing.pbn"), 3, "no file nothing.pbn"),
    ],
    ids=["none", "part", "no number", "number and set", "no set", "no file", "no source"],
)
def test_mistakes_are_one_line(trine: Command, arguments: tuple[str, ...], code: int, message: str):
    done = trine("bridge", "deals", *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
