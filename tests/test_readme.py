import pytest

from tests.documents import ROOT, blocks, commands, runnable
from trine.cli.app import main

README = ROOT / "README.md"
# The first block of `trine` commands is the quick start; later ones take minutes and are only
# parsed (test_docs).
QUICK = next(c for block in blocks(README, "sh") if (c := commands(block.text)))


def test_python_block_prints_what_it_says(capsys: pytest.CaptureFixture[str]):
    (block,) = runnable(README)
    exec(compile(block.text, block.label, "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out == "0.75 0.75\n"


def test_quick_start_runs(capsys: pytest.CaptureFixture[str]):
    assert len(QUICK) > 3
    for command in QUICK:
        arguments = command.split()[1:]
        if "solve" in arguments:
            arguments += ["--workers", "1"]  # worker processes would load all kernels anew
        with pytest.raises(SystemExit) as end:
            main(arguments)
        shown = capsys.readouterr()
        assert end.value.code == 0, (command, shown.err)
        assert shown.out, command


def test_the_install_section_names_files_that_exist():
    text = README.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in text
        assert f"\n{target}:" in makefile
    assert "--constraint constraints.txt" in text
    assert (ROOT / "constraints.txt").is_file()
