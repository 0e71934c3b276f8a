import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Command
from trine import __version__
from trine.cli.app import ROOMS, main
from trine.core.errors import CheckFailed, DataError, Interrupted, UsageError

HEAVY = (
    "numpy", "numba", "polars", "matplotlib", "scipy", "torch", "safetensors", "jinja2",
    "sentence_transformers", "transformers", "mteb", "datasets", "sklearn", "onnxruntime",
    "fastapi", "openai",
)  # fmt: skip

HELP = """\
Usage: trine [OPTIONS] COMMAND [ARGS]...

  Games, training dynamics and text embeddings: solve, train, check the papers.

  Example: trine games solve simple-bidding --size 4 --method cfr+jps

Options:
  --version   Print the version.
  --quiet     Only results and errors.
  --verbose   Also what is logged.
  --no-color  No colours (also: NO_COLOR=1).
  -h, --help  Show this message and exit.

Commands:
"""


def test_help_says_what_there_is(trine: Command):
    done = trine("--help")
    assert done.returncode == 0
    assert done.stdout.startswith(HELP)
    assert done.stderr == ""
    listed = done.stdout.removeprefix(HELP).split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == list(ROOMS)
    assert "Exit codes: 0 done, 1 a check did not hold" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], *([room, "--help"] for room in ROOMS)])
def test_help_imports_nothing_heavy(arguments: list[str]):
    # What is not imported keeps --help under half a second; a clock would fail on a busy machine.
    script = (
        "import sys\n"
        "from trine.cli.app import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_every_option_has_a_help_text():
    from typer.main import get_command

    import trine.cli.app as module

    def check(command, path: str) -> None:
        for parameter in command.params:
            assert getattr(parameter, "help", "") or parameter.hidden, f"{path} {parameter.name}"
        assert command.help, path
        for name in getattr(command, "commands", {}):
            check(command.commands[name], f"{path} {name}")

    root = get_command(module.app)
    for room in ROOMS:
        check(module.Rooms.get_command(root, None, room), room)  # pyright: ignore[reportArgumentType] (same)


def test_version(trine: Command):
    done = trine("--version")
    assert (done.returncode, done.stdout) == (0, f"trine {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnus"], "trine: unknown command 'rnus'; accepted: "),
        (["--jsno"], "trine: No such option: --jsno"),
        (["runs", "lits"], "trine: No such command 'lits'"),
        (["runs", "list", "--jsn"], "try: trine runs list --help"),
        (["runs", "show"], "trine: Missing argument 'RUN'; try: trine runs show --help"),
        (["demo", "--workers", "many"], "trine: Invalid value for '--workers'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    trine: Command, arguments: list[str], message: str
):
    done = trine(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(["--version"], 0, f"trine {__version__}\n"), (["runs", "show"], 2, "try: trine runs show")],
)
def test_the_package_is_the_command(arguments: list[str], code: int, words: str):
    # Of an environment whose scripts are not on the path, and where several Pythons are.
    module = [sys.executable, "-m", "trine", *arguments]
    done = subprocess.run(module, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert words in done.stdout + done.stderr


def test_no_command_shows_the_help(trine: Command):
    done = trine()
    assert done.returncode == 2
    assert done.stderr.startswith(HELP)


def outcome(error: BaseException, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("trine.core.runs.list_runs", fail)
    with pytest.raises(SystemExit) as caught:
        main(["runs", "list", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckFailed("value 9.4 is below 9.5"), 1),
        (UsageError("size 0", accepted="1 to 8"), 2),
        (DataError("no file a", hint="check the path"), 3),
        (Interrupted("interrupted", hint="run the same command again"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    assert outcome(error, monkeypatch) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("trine: ")
    assert len(captured.err.splitlines()) == 1
    assert str(error) in captured.err


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ZeroDivisionError):
        outcome(ZeroDivisionError(), monkeypatch)


def test_global_options_may_stand_anywhere(tmp_path: Path, trine: Command):
    before, after = trine("--quiet", "runs", "list"), trine("runs", "list", "--quiet")
    loud = trine("runs", "list")
    assert before.stderr == after.stderr == ""
    assert loud.stderr == f"no runs in {tmp_path / 'runs'}; make one, e.g.: trine demo\n"
    assert before.returncode == after.returncode == loud.returncode == 0


def _into(target: int | str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "trine.cli.app", "games", "list", "--json"]
    if isinstance(target, str):
        with Path(target).open("w") as file:
            return subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True)
    return subprocess.run(command, stdout=target, stderr=subprocess.PIPE, text=True)


def test_a_reader_that_has_gone_is_no_failed_check():
    reading, writing = os.pipe()
    os.close(reading)
    done = _into(writing)
    os.close(writing)
    assert done.returncode == 141  # as of any program that SIGPIPE ends
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line():
    done = _into("/dev/full")
    assert done.returncode == 3
    assert done.stderr.startswith("trine: cannot write the result: ")
    assert done.stderr.count("\n") == 1
