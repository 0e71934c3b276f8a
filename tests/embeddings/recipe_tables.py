"""Every key of a recipe as Markdown tables, from the configuration itself.

`python -m tests.embeddings.recipe_tables` writes them into docs/embeddings/recipes.md; a test holds
the page to them.
"""

import inspect
import re
import types
import typing

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tests.documents import ROOT
from trine.embeddings.config import HeadConfig, ModelConfig, Recipe, TaskConfig, TrainingConfig

PAGE = ROOT / "docs" / "embeddings" / "recipes.md"
PARTS = {
    "recipe": Recipe,
    "task": TaskConfig,
    "model": ModelConfig,
    "head": HeadConfig,
    "training": TrainingConfig,
}
_NESTED = {"model", "head", "training"}


def meanings(model: type) -> dict[str, str]:
    """What the docstring says of each attribute, in one line each."""
    text = inspect.getdoc(model) or ""
    found: dict[str, str] = {}
    name = ""
    for line in text.partition("Attributes:\n")[2].splitlines():
        if match := re.fullmatch(r"  (\w+): (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif line.startswith("    "):
            found[name] += " " + line.strip()
    return found


def values(field: FieldInfo) -> str:
    """What a key accepts."""
    text = _type(field.annotation)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(each, name)}"
        for each in field.metadata
        for name, sign in signs.items()
        if isinstance(each, annotated_types.BaseMetadata) and getattr(each, name, None) is not None
    ]
    return " ".join([text, ", ".join(bounds)]).strip()


def _type(annotation: object) -> str:
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(each) for each in arguments if each is not type(None))
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is tuple:
        inner = _type(arguments[0])
        return f"list of {inner}"
    if origin is dict:
        return f"table of {_type(arguments[1])}"
    names = {str: "text", int: "integer", float: "number", bool: "true, false"}
    if annotation in names:
        return names[typing.cast(type, annotation)]
    return "tables, below"


def default(field: FieldInfo) -> str:
    """The default as TOML would have it."""
    value = field.default
    if field.default_factory is not None or value in ((), "", None):
        return "none"
    if value is PydanticUndefined:
        return "needed"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def table(part: str) -> str:
    """The Markdown table of one part."""
    model = PARTS[part]
    words = meanings(model)
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        shown = "see below" if name in _NESTED else default(field)
        cells = [f"`{name}`", values(field), shown, words[name]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """The page with its tables made anew."""
    for part in PARTS:
        mark = re.compile(rf"(<!-- keys: {part} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        found = mark.search(text)
        assert found, part
        text = "".join([text[: found.end(1)], table(part), text[found.start(2) :]])
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
