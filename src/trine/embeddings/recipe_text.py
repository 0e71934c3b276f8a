"""Guessed tasks written as a recipe that a person reads: what differs, reasons as comments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from trine.core.config import differences
from trine.embeddings.audit import Audit
from trine.embeddings.config import TaskConfig

__all__ = ["Guess", "recipe_text"]

_NOTABLE = 0.01
"""Share of a test split; texts shared with another task are a comment of the recipe from here."""

_HEAD = """\
# A recipe for one embedding model, guessed from {files}.
# Check every task, then: trine embeddings train recipe.toml
# Sources are relative to the directory of this file.

dimension = 50
seed = 0

[model]
base = "{model}"

[training]
steps = 300
batch_size = 32
tasks_per_step = 0  # every task in every step; a number: so many, drawn by (rows) ** alpha
"""


@dataclass(frozen=True)
class Guess:
    """One task and why.

    Attributes:
      config: the task.
      reasons: one sentence each.
    """

    config: TaskConfig
    reasons: Sequence[str] = field(default_factory=tuple)


def recipe_text(guesses: Sequence[Guess], findings: Audit) -> str:
    """The recipe in TOML; reasons and findings of a task are comments at its head.

    Args:
      guesses: the tasks.
      findings: of the audit of the same tasks, in the same order.
    """
    files = f"{len(guesses)} table{'s' if len(guesses) > 1 else ''}"
    spoken = {code for task in findings.tasks for code in task.languages}
    english = all(code.partition("-")[0].partition("_")[0] in ("en", "eng") for code in spoken)
    parts = [_HEAD.format(files=files, model="minilm" if english else "multilingual-e5-small")]
    for guess, found in zip(guesses, findings.tasks, strict=True):
        config = guess.config
        lines = [*guess.reasons, *found.findings]
        shared = [o for o in findings.leaking if o.test_task == config.name]
        lines += [str(o) for o in shared if o.in_any >= _NOTABLE * o.test_rows]
        entries = {
            name: value
            for name, value in differences(config).items()
            if not config.source.startswith("sample:") or name in ("name", "source")
        }
        body = [f"{name} = {_toml(value)}" for name, value in entries.items()]
        parts.append("\n".join(["[[tasks]]", *(f"# {_comment(line)}" for line in lines), *body]))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()


def _comment(line: str) -> str:
    # A label may hold anything; a comment of TOML holds no control characters.
    return "".join(c if c.isprintable() else " " for c in line)
