"""`trine games` end to end: results on stdout, one line on stderr, exit codes, files."""

import errno
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.conftest import Command
from trine.cli.app import main
from trine.core import runs
from trine.games import methods, reproduce
from trine.games.catalog import GAMES, make_game
from trine.games.exact import solve_exact
from trine.games.methods import METHODS
from trine.games.paper import Key
from trine.games.policy import random_policy, save_policy
from trine.games.reproduce import SCALES, Scale
from trine.games.solve import warm_up
from trine.games.tree import build_tree

HEAVY = ("numpy", "numba", "polars", "scipy", "matplotlib", "torch")

# Issue: `--json` of solve holds at least these.
KEYS = (
    "game", "size", "method", "seeds", "states", "info_sets", "value_mean", "value_se",
    "value_max", "cpu_seconds_per_seed", "search_cpu_seconds_per_seed", "run_dir",
)  # fmt: skip
FAST = ("--set", "cfr.iterations=50", "--workers", "1")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command in this process, in a temporary directory."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(["games", *arguments])
        out, err = capsys.readouterr()
        return Done(int(cast("int", caught.value.code)), out, err)

    return call


def check_mistake(done: Done, code: int, *parts: str) -> None:
    """One line, the exit code, nothing on stdout."""
    assert done.code == code, done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith("trine: ")
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


# ---- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([verb, "--help"] for verb in ("list", "solve", "reproduce", "show-policy"))],
)
def test_help_imports_nothing_heavy_and_shows_an_example(arguments: list[str]):
    script = (
        "import sys\n"
        "from trine.cli.app import main\n"
        "try:\n"
        f"    main({['games', *arguments]!r})\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("Usage: trine games")
    if len(arguments) > 1:
        assert f"Example: trine games {arguments[0]}" in done.stdout
        assert "--json" in done.stdout


def test_help_of_solve_shows_defaults(run: Any):
    done = run("solve", "--help")
    text = " ".join(done.out.split())
    for default in ("cfr+jps", "10", "0", "exact", "600", "8", "a random policy"):
        assert f"[default: {default}]" in text


# ---- list ---------------------------------------------------------------------------------------


def test_list(run: Any):
    done = run("list", "--json")
    assert done.code == 0
    assert done.err == ""
    assert [game["game"] for game in done.document["games"]] == list(GAMES)
    assert [method["method"] for method in done.document["methods"]] == list(METHODS)
    bidding = done.document["games"][2]
    assert bidding["smallest"] == 2
    assert bidding["paper_sizes"] == "4 8 16"
    assert bidding["kind"] == "cooperative"
    table = run("list")
    assert table.code == 0
    for name in [*GAMES, *METHODS, "openspiel:NAME"]:
        assert name in table.out


# ---- solve --------------------------------------------------------------------------------------


def test_solve_in_a_process_of_its_own(trine: Command, run: Any, tmp_path: Path):
    # Once here, so that the process has nothing to compile and hence nothing to say.
    assert run("solve", "mini-hanabi", "--runs", "elsewhere", *FAST).code == 0
    done = trine(
        "games", "solve", "simple-bidding", "--size", "4", "--method", "cfr+jps", "--seeds", "3",
        "--json", *FAST,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert set(KEYS) <= set(result)
    assert (result["game"], result["size"], result["method"]) == ("simple-bidding", 4, "cfr+jps")
    assert (result["seeds"], result["states"], result["info_sets"]) == (3, 241, 61)
    assert 2 < result["value_mean"] <= result["value_max"] <= 2.25
    assert result["value_se"] >= 0
    directory = Path(result["run_dir"])
    assert directory.parent == tmp_path / "runs"
    assert (directory / "report.html").is_file()
    assert (directory / "config.toml").is_file()
    listed = json.loads(trine("runs", "list", "--json").stdout)
    assert [row["status"] for row in listed] == ["finished"]


def test_solve_as_a_table(run: Any):
    done = run("solve", "simple-bidding", "--size", "4", "--seeds", "2", *FAST)
    assert done.code == 0
    assert done.err == ""
    for text in ("simple-bidding", "cfr+jps", "241", "61", "value mean", "s.e.", "report: "):
        assert text in done.out
    report = done.out.splitlines()[-1].removeprefix("report: ")
    assert Path(report).read_text().startswith("<!doctype html>")


def test_a_finished_solve_prints_the_same_and_says_so(run: Any):
    arguments = ("solve", "mini-hanabi", "--method", "jps", "--seeds", "2", "--json", *FAST)
    first, second = run(*arguments), run(*arguments)
    assert second.out == first.out
    assert second.code == 0
    assert second.err == f"computed before: {first.document['run_dir']}\n"
    quiet = run(*arguments, "--quiet")
    assert (quiet.out, quiet.err) == (first.out, "")


def test_sampled_search_of_mini_hanabi(run: Any):
    done = run(
        "solve", "mini-hanabi", "--method", "jps", "--samples", "1", "--seeds", "5", "--json", *FAST
    )
    result = done.document
    # Paper, table of sampled search: 10.00 with k = 1.
    assert (result["value_mean"], result["value_se"]) == (10, 0)
    assert (result["samples"], result["depth"], result["info_sets"]) == (1, 0, 45)


def test_the_exact_solver_proves(run: Any):
    result = run("solve", "simple-bidding", "--size", "4", "--method", "exact", "--json").document
    assert (result["value_mean"], result["upper_bound"], result["proved"]) == (2.25, 2.25, True)
    assert (result["seeds"], result["value_se"]) == (1, 0)


def test_kuhn_by_cfr(run: Any):
    done = run(
        "solve", "kuhn", "--method", "cfr", "--seeds", "1", "--set", "cfr.iterations=2000",
        "--workers", "1", "--json",
    )  # fmt: skip
    result = done.document
    # Kuhn 1950: -1/18.
    assert result["value_mean"] == pytest.approx(-1 / 18, abs=5e-3)
    assert 0 <= result["nash_conv"] < 5e-3
    assert result["value_se"] is None


@pytest.mark.oracle
@pytest.mark.skipif(find_spec("pyspiel") is None, reason="needs the extra `oracle` (OpenSpiel)")
def test_a_game_of_openspiel(run: Any):
    done = run(
        "solve", "openspiel:tiny_hanabi", "--method", "jps", "--samples", "1", "--seeds", "2",
        "--json", *FAST,
    )  # fmt: skip
    assert done.code == 0
    result = done.document
    assert result["game"] == "openspiel:tiny_hanabi"
    assert result["value_max"] == 10
    assert Path(result["run_dir"]).name.startswith("games-solve-tiny-hanabi-jps-")
    shown = run("show-policy", result["run_dir"], "--json").document
    assert shown["value"] == pytest.approx(10)
    check_mistake(run("solve", "openspiel:tiny_hanaby"), 2, "unknown OpenSpiel game")
    check_mistake(run("solve", "openspiel:tiny_hanabi", "--size", "2"), 2, "into the name")


@pytest.mark.skipif(find_spec("pyspiel") is not None, reason="OpenSpiel is installed")
def test_a_game_of_openspiel_without_openspiel(run: Any):
    check_mistake(run("solve", "openspiel:tiny_hanabi"), 3, "oracle", "pip install")


def test_a_configuration_file_under_the_options(run: Any, tmp_path: Path):
    (tmp_path / "solve.toml").write_text(
        'game = "comm"\nsize = 2\nmethod = "jps"\nseeds = 4\n[jps]\niterations = 7\nsamples = 1\n'
    )
    done = run(
        "solve", "mini-hanabi", "--config", "solve.toml", "--set", "seeds=3", "--seeds", "2",
        "--set", "jps.iterations=9", "--json", "--workers", "1", "--size", "1",
    )  # fmt: skip
    # mini-hanabi has no size: the option over the file, the file over the defaults.
    check_mistake(done, 2, "mini-hanabi has one size only, got --size 1")
    done = run(
        "solve", "comm", "--config", "solve.toml", "--set", "seeds=3", "--seeds", "2",
        "--set", "jps.iterations=9", "--json", "--workers", "1",
    )  # fmt: skip
    result = done.document
    assert (result["size"], result["method"], result["seeds"]) == (2, "jps", 2)
    assert result["samples"] == 1
    text = (Path(result["run_dir"]) / "config.toml").read_text()
    assert "iterations = 9" in text


def test_two_workers_say_what_one_says(run: Any):
    arguments = ("solve", "mini-hanabi", "--method", "jps", "--seeds", "3", "--json")
    one = run(*arguments, "--workers", "1", "--runs", "one").document
    two = run(*arguments, "--workers", "2", "--runs", "two").document
    for key in set(one) - {"run_dir", "policy", "report"}:
        if not key.endswith("seconds_per_seed"):
            assert one[key] == two[key], key


# ---- show-policy --------------------------------------------------------------------------------


def test_show_policy(run: Any):
    run("solve", "mini-hanabi", "--method", "exact")
    done = run("show-policy", "latest", "--json")
    document = done.document
    assert (document["game"], document["method"], document["value"]) == ("mini-hanabi", "exact", 10)
    first = [row for row in document["policy"] if row["player"] == 1]
    # The optimum (spec, section 4.2): 2 with card 0, 0 with card 1.
    assert {(row["cards"], row["action"]) for row in first} == {("0", "2"), ("1", "0")}
    table = run("show-policy", Path(document["run_dir"]).name)
    assert table.code == 0
    assert table.out.splitlines()[-1] == "value 10"
    assert "how often" in table.out


def test_show_policy_of_a_run_without_one(run: Any, tmp_path: Path):
    check_mistake(run("show-policy", "latest"), 2, "unknown run 'latest'", "trine runs list")
    result = run("solve", "mini-hanabi", "--method", "exact", "--json").document
    policy = Path(result["policy"])
    policy.write_bytes(policy.read_bytes()[:20])
    check_mistake(run("show-policy", "latest"), 3, "is not a whole safetensors file")
    policy.unlink()
    check_mistake(run("show-policy", "latest"), 2, "has no policy; accepted: a finished")


# ---- reproduce ----------------------------------------------------------------------------------


def test_reproduce(run: Any, monkeypatch: pytest.MonkeyPatch):
    hanabi: Key = ("mini-hanabi", None)
    tiny = Scale(exact={(hanabi, "cfr+jps"): 2}, sampled={hanabi: 2})
    monkeypatch.setitem(SCALES, "quick", tiny)
    arguments = ("reproduce", "--table", "exact", "--scale", "quick", "--workers", "1")
    done = run(*arguments, "--json")
    assert done.code == 0
    document = done.document
    assert (document["table"], document["scale"]) == ("exact", "quick")
    assert [row["method"] for row in document["rows"]] == ["cfr", "cfr+jps"]
    assert [row["paper"] for row in document["rows"]] == [9.11, 9.5]
    assert Path(document["report"]).is_file()
    again = run(*arguments)
    assert "computed before" in again.err
    for text in ("Mini-Hanabi", "paper", "authors' code", "proved optimum", "report: "):
        assert text in again.out
    assert reproduce.TABLES == ("exact", "sampled")


# ---- mistakes -----------------------------------------------------------------------------------

MISTAKES = [
    (["solve", "nim"], 2, ["unknown game 'nim'; accepted: comm, mini-hanabi"]),
    (["solve", "simple-biding", "--size", "4"], 2, ["did you mean 'simple-bidding'?"]),
    (["solve", "simple-bidding"], 2, ["needs a size", "e.g. --size 4"]),
    (["solve", "simple-bidding", "--size", "0"], 2, ["size 0 of simple-bidding is not accepted"]),
    (["solve", "simple-bidding", "--size", "1"], 2, ["at least 2"]),
    (["solve", "two-suit-bridge", "--size", "-3"], 2, ["size -3 of two-suit-bridge"]),
    (["solve", "simple-bidding", "--size", "four"], 2, ["'--size'", "valid integer", "--help"]),
    (["solve", "simple-bidding", "--size", "4.5"], 2, ["'--size'", "valid integer"]),
    (["solve", "comm", "--size", "99"], 3, ["comm:99 has at least 10^89 states", "8,192 MiB"]),
    (["solve", "comm", "--size", "1000000"], 3, ["at least 10^903089 states"]),
    (["solve", "simple-bidding", "--size", "1000000"], 3, ["10^18 states", "--memory-limit"]),
    (
        ["solve", "comm", "--size", "7", "--memory-limit", "0.01"],
        3,
        ["2,129,793 states, about 98 MiB; the limit is 10 MiB"],
    ),
    (["solve", "mini-hanabi", "--size", "3"], 2, ["one size only, got --size 3; leave --size out"]),
    (["solve", "mini-hanabi", "--method", "jsp"], 2, ["unknown method 'jsp'", "mean 'jps'?"]),
    (["solve", "mini-hanabi", "--set", "jps.depht=3"], 2, ["'jps.depht'", "mean 'jps.depth'?"]),
    (["solve", "mini-hanabi", "--set", "jps.depth"], 2, ["accepted: name=value"]),
    (["solve", "mini-hanabi", "--set", "jps.depth=three"], 2, ["'three'", "valid integer"]),
    (["solve", "mini-hanabi", "--set", "jps=3"], 2, ["accepted: a table"]),
    (["solve", "mini-hanabi", "--depth", "-1"], 2, ["(--depth); accepted: greater than or equal"]),
    (["solve", "mini-hanabi", "--samples", "0"], 2, ["(--samples); accepted: greater than or"]),
    (["solve", "mini-hanabi", "--seeds", "0"], 2, ["(--seeds); accepted: greater than or equal"]),
    (["solve", "mini-hanabi", "--first-seed", "-1"], 2, ["(--first-seed)"]),
    (["solve", "mini-hanabi", "--time-limit", "0"], 2, ["(--time-limit); accepted: greater than"]),
    (["solve", "mini-hanabi", "--time-limit", "nan"], 2, ["finite number"]),
    (["solve", "mini-hanabi", "--workers", "-1"], 2, ["'--workers'"]),
    (["solve", "kuhn"], 2, ["players have different payoffs; accepted: cfr, cfr+"]),
    (["solve", "kuhn", "--method", "exact"], 2, ["accepted: cfr, cfr+"]),
    (["solve", "mini-hanabi", "--start", "none.safetensors"], 2, ["use --method jps"]),
    (
        ["solve", "mini-hanabi", "--method", "jps", "--start", "none.safetensors"],
        3,
        ["no file", "none.safetensors"],
    ),
    (
        ["solve", "mini-hanabi", "--method", "best", "--samples", "2"],
        2,
        ["use --method jps or cfr+jps"],
    ),
    (["solve", "mini-hanabi", "--config", "none.toml"], 3, ["no file none.toml"]),
    (["solve"], 2, ["Missing argument", "try: trine games solve --help"]),
    (["solv"], 2, ["No such command 'solv'", "try: trine games --help"]),
    (["solve", "mini-hanabi", "--sise", "3"], 2, ["No such option: --sise"]),
    (["list", "--jsno"], 2, ["No such option: --jsno"]),
    (["reproduce", "--table", "exakt"], 2, ["did you mean 'exact'?"]),
    (["reproduce", "--scale", "huge"], 2, ["unknown scale 'huge'; accepted: quick, paper"]),
    (["show-policy", "nothing"], 2, ["unknown run 'nothing'", "trine runs list"]),
]


@pytest.mark.parametrize(("arguments", "code", "parts"), MISTAKES, ids=lambda v: str(v)[:60])
def test_a_mistake_is_one_line(
    arguments: list[str], code: int, parts: list[str], run: Any, tmp_path: Path
):
    check_mistake(run(*arguments), code, *parts)
    assert files(tmp_path) == []  # no run directory was begun


@pytest.mark.parametrize(
    ("text", "code", "parts"),
    [
        ('methdo = "jps"\n', 2, ["unknown key 'methdo' in my.toml", "did you mean 'method'?"]),
        ("[jps]\ndepht = 3\n", 2, ["unknown key 'jps.depht'", "did you mean 'jps.depth'?"]),
        ("depth = 3\n", 2, ["unknown key 'depth'", "did you mean 'jps.depth'?"]),
        ('seeds = "many"\n', 2, ["seeds = 'many' in my.toml; accepted: a valid integer"]),
        ("seeds = [1, 2]\n", 2, ["seeds = [1, 2] in my.toml"]),
        ("jps = 3\n", 2, ["jps = 3 in my.toml; accepted: a table"]),
        ('method = "jps\n', 3, ["my.toml is not TOML"]),
        ("\x00\xff", 3, ["my.toml is not TOML"]),
        ("size = 4\n", 2, ["mini-hanabi has one size only"]),
    ],
)
def test_a_wrong_configuration_file_is_one_line(
    text: str, code: int, parts: list[str], run: Any, tmp_path: Path
):
    (tmp_path / "my.toml").write_bytes(text.encode("latin-1"))
    check_mistake(run("solve", "mini-hanabi", "--config", "my.toml"), code, *parts)
    assert files(tmp_path) == [tmp_path / "my.toml"]


def test_a_start_policy_of_another_game_is_one_line(run: Any, tmp_path: Path):
    tree = build_tree(make_game("comm", 1))
    save_policy(random_policy(tree, np.random.default_rng(0)), tmp_path / "comm.safetensors")
    arguments = ("solve", "mini-hanabi", "--method", "jps", "--start", "comm.safetensors")
    check_mistake(run(*arguments), 3, "the policy is for comm:1, the tree for mini-hanabi")
    (tmp_path / "comm.safetensors").write_bytes(b"garbage")
    check_mistake(run(*arguments), 3, "comm.safetensors is not a whole safetensors file")
    assert files(tmp_path) == [tmp_path / "comm.safetensors"]


def test_a_directory_of_another_configuration_is_one_line(run: Any, tmp_path: Path):
    arguments = ("--run", "mine", "--method", "jps", *FAST)
    assert run("solve", "mini-hanabi", *arguments).code == 0
    before = {path: path.read_bytes() for path in files(tmp_path)}
    done = run("solve", "comm", "--size", "1", *arguments)
    check_mistake(done, 2, "mine belongs to another run", "choose another directory")
    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").write_text("mine")
    done = run("solve", "mini-hanabi", "--run", "papers", *FAST)
    check_mistake(done, 3, "papers exists and is not a run directory")
    done = run("solve", "mini-hanabi", "--run", "papers/thesis.tex", *FAST)
    check_mistake(done, 3, "exists and is not a run directory")
    assert files(tmp_path / "papers") == [tmp_path / "papers" / "thesis.tex"]


def test_a_run_in_use_is_one_line(run: Any, tmp_path: Path):
    result = run("solve", "mini-hanabi", "--method", "jps", "--json", *FAST).document
    directory = Path(result["run_dir"])
    (directory / "run.json").write_text(
        (directory / "run.json").read_text().replace('"finished"', '"interrupted"')
    )
    script = (
        "import fcntl, sys, time\n"
        f"file = open({str(directory / '.lock')!r}, 'a+')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        check_mistake(run("solve", "mini-hanabi", "--method", "jps", *FAST), 2, "is in use by")
        other.communicate("")


# ---- full disk ----------------------------------------------------------------------------------


def whole_files_only(directory: Path) -> None:
    """Everything that is there can be read; nothing temporary is left."""
    for path in files(directory):
        assert ".tmp" not in path.name
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".html":
            assert path.read_text().endswith("</html>\n")


@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 12, 16])
def test_a_full_disk_is_one_line(nth: int, run: Any, tmp_path: Path, monkeypatch: Any):
    """The nth file and all after it find no space; with space again, the run goes on."""
    written: list[Path] = []
    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) < nth:
            return write_bytes(path, data)
        write_bytes(path, data[: len(data) // 2])  # what still fitted
        raise OSError(errno.ENOSPC, "No space left on device")

    arguments = ("solve", "simple-bidding", "--size", "3", "--seeds", "2", "--json", *FAST)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        done = run(*arguments)
    assert len(written) >= nth
    check_mistake(done, 3, "cannot write", "No space left on device", "free some space")
    whole_files_only(tmp_path)
    assert not list(tmp_path.rglob("result.json"))
    again = run(*arguments)
    assert again.code == 0, again.err
    assert again.document["seeds"] == 2
    assert run(*arguments).out == again.out


@pytest.mark.parametrize("limit", [0, 1000, 60_000])
def test_no_file_above_a_limit(limit: int, tmp_path: Path):
    """The same by the operating system: every write to a file above a size fails."""
    pytest.importorskip("resource", reason="needs limits on file sizes")
    warm_up(["cfr+jps"])  # a cold cache would have to be written
    script = (
        "import resource, sys\n"
        "from trine.cli.app import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "main(['games', 'solve', 'simple-bidding', '--size', '3', '--seeds', '2',\n"
        f"      '--runs', {str(tmp_path / 'runs')!r}, '--set', 'cfr.iterations=50',\n"
        "      '--workers', '1'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    check_mistake(Done(done.returncode, done.stdout, done.stderr), 3, "cannot write", "File too")
    whole_files_only(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_without_space_stops_nothing(run: Any, tmp_path: Path, monkeypatch: Any):
    """What is logged is lost; results are whole, and nobody sees a traceback."""

    def talkative(*arguments: Any, **options: Any) -> Any:
        logging.getLogger("trine.games.exact").info("bounds: %s", "x" * 10_000)
        return solve_exact(*arguments, **options)

    monkeypatch.setattr(methods, "solve_exact", talkative)
    (tmp_path / "mine").mkdir()
    arguments = ("solve", "mini-hanabi", "--method", "exact", "--run", "mine", "--json")
    make_run = runs.Run.__enter__

    def enter(self: runs.Run) -> runs.Run:
        (self.directory / "log.txt").symlink_to("/dev/full")
        return make_run(self)

    monkeypatch.setattr(runs.Run, "__enter__", enter)
    done = run(*arguments, "--workers", "1")
    assert (done.code, done.err) == (0, "")
    assert done.document["value_mean"] == 10
    assert json.loads((tmp_path / "mine" / "run.json").read_text())["status"] == "finished"


def test_a_place_that_cannot_be_written_is_one_line(run: Any, tmp_path: Path):
    (tmp_path / "file").write_text("not a directory")
    done = run("solve", "mini-hanabi", "--runs", "file", *FAST)
    check_mistake(done, 3, "cannot write file/games-solve-mini-hanabi", "Not a directory")
    assert files(tmp_path) == [tmp_path / "file"]
