"""Reading the Markdown pages: code blocks, commands and links."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from trine.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    key=lambda page: str(page.relative_to(ROOT)),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_INLINE_COMMAND = re.compile(r"`(?:\.venv/bin/)?(trine [^`]*)`")

_PLACEHOLDERS = {"N": "3", "K": "3", "SEEDS": "3", "...": ""}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def label(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of one language."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in _FENCE.finditer(text)
        if match[1] == language
    ]


def runnable(page: Path) -> list[Block]:
    """Python blocks that stand on their own; one without an import goes on from the text."""
    return [
        block for block in blocks(page, "python") if re.search(r"^(import|from) ", block.text, re.M)
    ]


def commands(text: str) -> list[str]:
    """The lines of a shell block that call `trine`, comments removed, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line.partition("  #")[0].strip() for line in joined.splitlines()]
    return [line for line in lines if line.startswith("trine ")]


def all_commands(page: Path) -> list[str]:
    """Every `trine ...` of a page, in blocks and in the text."""
    text = page.read_text(encoding="utf-8")
    in_blocks = [command for block in blocks(page, "sh") for command in commands(block.text)]
    return in_blocks + [match[1] for match in _INLINE_COMMAND.finditer(_FENCE.sub("", text))]


def links(page: Path) -> list[str]:
    """Targets of links and pictures, those in code left out."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))
    return _LINK.findall(text)


def anchors(page: Path) -> set[str]:
    """Names of the headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def parse(command: str) -> None:
    """Parses a command line without running it; raises if a command or an option is unknown.

    Words in capitals stand for what the reader puts in.
    """
    words = [_PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
    current: Any = get_command(app)
    context: Any = None
    arguments = [word for word in words[1:] if word]
    while hasattr(current, "get_command"):
        name = arguments[0] if arguments else "--help"
        if name.startswith("-"):
            return  # only options of the group itself, e.g. `trine --help`
        current = current.get_command(context, arguments.pop(0))
        assert current is not None, f"{command!r}: no command {name!r}"
    if arguments:
        current.make_context(current.name or "", arguments)
