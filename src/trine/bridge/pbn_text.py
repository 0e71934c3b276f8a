"""The grammar of PBN: a text to games of tags and sections, with no word of bridge.

PBN 2.1: games separated by empty lines; `[Name "value"]`; `%` in column 1 and `;` begin comments to
the end of the line, `{` and `}` enclose one; the text between a tag and the next is its section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["PbnGame", "split_games"]

# A game cannot have two of these, so the second begins the next one even without an empty line.
# Others may be doubled: `Room` is, in files of some programs.
_ONCE = frozenset(
    {
        "event", "site", "date", "board", "west", "north", "east", "south", "dealer",
        "vulnerable", "deal", "scoring", "declarer", "contract", "result", "auction",
    }
)  # fmt: skip

_TOKEN = re.compile(
    r"""
      (?P<escape>(?m:^)%[^\n]*)
    | (?P<line>;[^\n]*)
    | (?P<block>\{[^}]*(?:\}|\Z))
    | \[\s*(?P<name>[A-Za-z0-9_]+)\s*"(?P<value>(?:\\.|[^"\\\n])*)"\s*\]
    | (?P<empty>\n[ \t]*(?=\n))
    | (?P<space>\s+?)
    | (?P<word>[^\s\[{;]+|.)
    """,
    re.VERBOSE,
)


@dataclass(slots=True)
class PbnGame:
    """One game.

    Attributes:
      line: where it begins, from 1.
      tags: name in lower case -> value, repetitions of the game before put in.
      names: name in lower case -> name as written.
      sections: name in lower case -> words after the tag.
      notes: number -> text of the notes before the play.
    """

    line: int
    tags: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    sections: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def split_games(text: str) -> Iterator[PbnGame]:
    r"""The games of a text, `\n` line ends; never fails: what is no tag is a word of a section.

    A value `#` or `##` repeats that of the game before; `##text` holds from here on, also for games
    that do not have the tag.
    """
    before: dict[str, str] = {}
    standing: dict[str, str] = {}
    written: dict[str, str] = {}
    for game in _raw_games(text):
        for name, value in game.tags.items():
            if value in ("#", "##"):
                game.tags[name] = before.get(name, "")
            elif value.startswith("##"):
                game.tags[name] = standing[name] = value[2:]
                written[name] = game.names[name]
        for name, value in standing.items():
            game.tags.setdefault(name, value)
            game.names.setdefault(name, written[name])
        before = game.tags
        yield game


def _raw_games(text: str) -> Iterator[PbnGame]:
    game = PbnGame(1)
    section = ""
    gap = False
    line = 1
    for match in _TOKEN.finditer(text):
        here, line = line, line + match[0].count("\n")
        if match["empty"] is not None:
            gap = True
            section = ""
        elif match["name"] is not None:
            name = match["name"].lower()
            repeated = name in game.tags and (gap or name in _ONCE)
            if game.tags and (repeated or (gap and name == "event")):
                yield game
                game = PbnGame(here)
            if not game.tags:
                game.line = here
            gap = False
            value = re.sub(r"\\(.)", r"\1", match["value"])
            if name == "note":
                _take_note(game, value)
                continue  # a note stands inside a section and does not end it
            section = name
            game.tags.setdefault(name, value)
            game.names.setdefault(name, match["name"])
        elif match["word"] is not None and section:
            game.sections.setdefault(section, []).append(match["word"])
    if game.tags:
        yield game


def _take_note(game: PbnGame, value: str) -> None:
    number, _, words = value.partition(":")
    if "play" not in game.tags:
        game.notes.setdefault(number.strip(), words.strip())
