"""Configuration: defaults in the type < TOML file < `--set a.b=value`.

A configuration is a frozen pydantic model; nested tables are nested models; dotted names such as
`search.depth` address their fields. An unknown key is an error with the nearest valid key.

The identity of a configuration is semantic: its hash covers only the values that differ from the
defaults, and the schema number of the model. A new option with a default therefore does not rename
old runs; changing a default does change what old hashes mean, so it must raise `schema_number`.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticUndefined

from trine.core.artifacts import read_toml
from trine.core.errors import ConfigError, nearest

__all__ = ["Config", "config_hash", "differences", "load_config", "make_config", "to_plain"]

HASH_LENGTH = 8


class Config(BaseModel):
    """Base of all configurations: frozen, unknown keys forbidden, defaults validated too."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    schema_number: ClassVar[int] = 1


ConfigType = TypeVar("ConfigType", bound=BaseModel)


def load_config(
    kind: type[ConfigType],
    file: Path | None = None,
    settings: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
) -> ConfigType:
    """The resolved configuration.

    Args:
      kind: the model that holds the defaults.
      file: a TOML file over the defaults.
      settings: `"a.b=value"` texts over the file, the value in TOML notation (a bare word is text).
      given: values of command-line options by dotted name, over everything; None means not given.

    Raises:
      ConfigError: one line naming the first wrong key or value and where it came from.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if file is not None:
        values = read_toml(file)
        sources.update(dict.fromkeys(_flat(values), str(file)))
    for text in settings:
        key, value = _parse_setting(text)
        _put(values, key, value)
        sources[key] = f"--set {text}"
    for key, value in (given or {}).items():
        if value is not None:
            _put(values, key, value)
            sources[key] = f"--{key.rpartition('.')[2].replace('_', '-')}"
    return make_config(kind, values, sources)


def make_config(
    kind: type[ConfigType], values: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> ConfigType:
    """A configuration from nested values, with pydantic's errors rewritten to one clear line.

    Args:
      kind: the model.
      values: nested mapping of values.
      sources: where each dotted key came from, for the message.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _explain(kind, error, sources or {}) from None


def to_plain(config: BaseModel) -> dict[str, Any]:
    """Nested plain values (JSON types), without the ones that are None, ready for TOML."""
    return config.model_dump(mode="json", exclude_none=True)


def differences(config: BaseModel, base: BaseModel | None = None) -> dict[str, Any]:
    """Values that differ, by dotted name, as JSON types.

    Args:
      config: the configuration.
      base: what to compare with; by default the defaults of its type. Fields without a default
        always count as different.
    """
    found: dict[str, Any] = {}
    _collect(config, base, "", found)
    return found


def config_hash(config: BaseModel) -> str:
    """Eight hexadecimal digits of the meaning of a configuration."""
    identity = {
        "schema": getattr(config, "schema_number", 1),
        "differences": differences(config),
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def _collect(config: BaseModel, base: BaseModel | None, prefix: str, found: dict[str, Any]) -> None:
    plain = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        value: object = getattr(config, name)
        other: object
        if base is not None:
            other = getattr(base, name, PydanticUndefined)
        else:
            other = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(value, BaseModel):
            # Compare inside; a nested table without a default of its own has its type's defaults.
            inner = other if isinstance(other, BaseModel) and type(other) is type(value) else None
            _collect(value, inner, f"{prefix}{name}.", found)
        elif value != other:
            found[prefix + name] = plain[name]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(cast("Mapping[str, Any]", value), f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _put(values: dict[str, Any], key: str, value: object) -> None:
    *tables, last = key.split(".")
    inner = values
    for table in tables:
        deeper = inner.setdefault(table, {})
        if not isinstance(deeper, dict):
            raise ConfigError(f"{key!r}: {table!r} is a value, not a table")
        inner = cast("dict[str, Any]", deeper)
    inner[last] = value


def _parse_setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text!r}", accepted="name=value, e.g. --set search.depth=3")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value.strip()  # a bare word: nobody wants to quote twice in a shell


def _keys(kind: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys.extend(_keys(inner, f"{prefix}{name}."))
        else:
            keys.append(prefix + name)
    return keys


def _explain(
    kind: type[BaseModel], error: ValidationError, sources: Mapping[str, str]
) -> ConfigError:
    found = error.errors(include_url=False, include_context=True)
    # What is said of a list only because of one of its elements is no problem of its own.
    places = [problem["loc"] for problem in found]
    problems = [
        problem
        for problem, at in zip(found, places, strict=True)
        if not any(len(other) > len(at) and other[: len(at)] == at for other in places)
    ]
    first = problems[0]
    names = [str(part) for part in first["loc"]]
    key = ".".join(names)
    known = _keys(kind)
    element = _element(kind, first["loc"])
    if element is not None:  # of a list of tables: the keys of one
        known = _keys(element)
    # A problem inside a list or a union has a longer path than the key that the user wrote.
    source = next((sources[k] for k in _ancestors(names) if k in sources), "")
    where = f" in {source}" if source and not source.startswith("--") else ""
    more = f"; {len(problems) - 1} more after this one" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        accepted, near = _beside(key, known)
        hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        return ConfigError(f"unknown key {key!r}{where}", accepted=", ".join(accepted), hint=hint)
    if first["type"] == "missing":
        return ConfigError(f"no value for {key!r}", hint=f"give one, e.g. --set {key}=...{more}")
    if first["type"] in ("tuple_type", "list_type"):
        reason = f"a list, e.g. --set {key}=[{first['input']}]"
    elif first["type"] in ("model_type", "dict_type"):
        reason = (
            f"a table, e.g. --set {next((k for k in known if k.startswith(f'{key}.')), key)}=..."
        )
    else:
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        reason = reason.partition(", unable to parse")[0]
    if not key:  # a combination of values refused by the model's own validator
        return ConfigError(reason + more)
    if isinstance(first["input"], dict):  # the same, of a table inside
        return ConfigError(f"{key}{where}: {reason}{more}")
    origin = f" ({source})" if source.startswith("--") else where
    return ConfigError(
        f"{key} = {first['input']!r}{origin}", accepted=reason, hint=more.strip("; ")
    )


def _beside(key: str, known: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is accepted where an unknown key stands, and what it may have been meant to be."""
    sections = {name.rpartition(".")[0] for name in known} - {""}
    section, _, last = key.rpartition(".")
    inside = f"{section}." if section in sections else ""
    accepted = [name for name in known if name.startswith(inside)]
    if not inside:  # of a table its name is enough
        accepted = list(dict.fromkeys(name.partition(".")[0] for name in known))
    near = [f"{inside}{name}" for name in nearest(last, [n[len(inside) :] for n in accepted])]
    if not near:  # a key of another table
        ends = {name.rpartition(".")[2]: name for name in known}
        near = [ends[end] for end in nearest(last, ends)]
    return accepted, near


def _element(kind: type[BaseModel], place: Sequence[object]) -> type[BaseModel] | None:
    """The model of the elements of the list that a place is in; None: it is in no such list."""
    if len(place) < 2 or not isinstance(place[1], int):
        return None
    field = kind.model_fields.get(str(place[0]))
    inner = get_args(field.annotation) if field is not None else ()
    return next((i for i in inner if isinstance(i, type) and issubclass(i, BaseModel)), None)


def _ancestors(names: Sequence[str]) -> list[str]:
    return [".".join(names[:end]) for end in range(len(names), 0, -1)]
