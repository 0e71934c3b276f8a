from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from trine.core.artifacts import read_toml, write_toml
from trine.core.config import Config, config_hash, differences, load_config, make_config, to_plain
from trine.core.errors import ConfigError, DataError


class Search(Config):
    depth: int = Field(default=0, ge=0)
    samples: int | None = None
    exact: bool = True


class Solve(Config):
    game: str = "comm"
    method: Literal["cfr", "jps"] = "jps"
    sizes: tuple[int, ...] = (3,)
    rate: float = 0.5
    search: Search = Search(depth=3)

    @model_validator(mode="after")
    def _sampled_search_is_not_exact(self) -> "Solve":
        if self.search.samples and self.search.exact:
            raise ValueError("search.samples with search.exact; set one of them")
        return self


def message(*settings: str, file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(Solve, file, settings)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_later_layers_win(tmp_path: Path):
    file = write_toml(tmp_path / "a.toml", {"game": "kuhn", "rate": 0.1, "search": {"depth": 1}})
    config = load_config(Solve, file, ["search.depth=2", "rate=0.2"], {"rate": 0.3, "game": None})
    assert config == Solve(game="kuhn", rate=0.3, search=Search(depth=2))


def test_values_are_toml_and_bare_words_are_text():
    config = load_config(
        Solve, None, ["game=two-suit", "sizes=[3, 4]", "search.exact=false", "search.samples=7"]
    )
    assert config.game == "two-suit"
    assert config.sizes == (3, 4)
    assert config.search == Search(depth=0, exact=False, samples=7)


def test_each_mistake_is_one_line_that_names_key_source_and_what_is_accepted(tmp_path: Path):
    file = write_toml(tmp_path / "a.toml", {"search": {"dpeth": 1}})
    assert message(file=file) == (
        f"unknown key 'search.dpeth' in {file}; accepted: search.depth, "
        "search.samples, search.exact; did you mean 'search.depth'?"
    )
    names = "accepted: game, method, sizes, rate, search"
    assert message("saerch.depth=1") == f"unknown key 'saerch'; {names}; did you mean 'search'?"
    assert message("depth=1") == f"unknown key 'depth'; {names}; did you mean 'search.depth'?"
    assert message("search.sizes=1").endswith("search.exact; did you mean 'sizes'?")
    assert message("gme=kuhn").endswith("did you mean 'game'?")
    assert message("method=jsp") == "method = 'jsp' (--set method=jsp); accepted: 'cfr' or 'jps'"
    assert message("search.depth=-1") == (
        "search.depth = -1 (--set search.depth=-1); accepted: greater than or equal to 0"
    )
    assert message("search.depth=x") == (
        "search.depth = 'x' (--set search.depth=x); accepted: a valid integer"
    )
    assert message("search=3").endswith("accepted: a table, e.g. --set search.depth=...")
    assert "name=value" in message("search.depth")
    assert "name=value" in message("=3")
    assert "rate" in message("rate=nan")
    assert message("search.samples=3") == "search.samples with search.exact; set one of them"
    assert "1 more" in message("rate=x", "search.depth=x")
    assert "is a value, not a table" in message("game=x", "game.size=3")


class Item(Config):
    name: str
    size: int = 1

    @model_validator(mode="after")
    def _fits(self) -> "Item":
        if self.name == "large" and self.size < 5:
            raise ValueError("a large item needs size 5")
        return self


class Items(Config):
    title: str = ""
    items: tuple[Item, ...] = Field(min_length=1)


def test_a_mistake_in_a_list_of_tables_is_told_with_the_keys_of_one(tmp_path: Path):
    def told(item: str) -> str:
        file = tmp_path / "a.toml"
        file.write_text(f"[[items]]\n{item}\n")
        with pytest.raises(ConfigError) as caught:
            load_config(Items, file)
        return str(caught.value).replace(str(file), "a.toml")

    assert told('name = "x"\nsiez = 2') == (
        "unknown key 'items.0.siez' in a.toml; accepted: name, size; did you mean 'size'?"
    )
    assert told('name = "x"\nsize = "y"').startswith("items.0.size = 'y' in a.toml; accepted: ")
    assert "more after this one" not in told('name = "x"\nsize = "y"')
    assert told('name = "large"') == "items.0 in a.toml: a large item needs size 5"


def test_an_option_of_the_command_line_is_named_as_such():
    with pytest.raises(ConfigError, match=r"search\.depth = -1 \(--depth\)"):
        load_config(Solve, None, (), {"search.depth": -1})


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path):
    with pytest.raises(DataError, match="no file"):
        load_config(Solve, tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("game = \n")
    with pytest.raises(DataError, match="is not TOML"):
        load_config(Solve, broken)


def test_configurations_are_frozen():
    with pytest.raises(ValidationError):
        Solve().game = "other"  # pyright: ignore[reportAttributeAccessIssue] (the point of the test)


def test_only_meaning_is_hashed():
    class Wider(Config):
        game: str = "comm"
        method: Literal["cfr", "jps"] = "jps"
        sizes: tuple[int, ...] = (3,)
        rate: float = 0.5
        search: Search = Search(depth=3)
        brand_new: int = 7

    class Changed(Solve):
        schema_number = 2

    assert config_hash(Solve(game="kuhn")) == config_hash(Wider(game="kuhn"))
    assert config_hash(Solve()) != config_hash(Solve(game="kuhn"))
    assert config_hash(Solve()) != config_hash(Changed())
    assert config_hash(Wider(brand_new=8)) != config_hash(Wider())
    # A directory on somebody's disk has this name: it must not change by accident.
    assert config_hash(Solve(game="kuhn")) == "2b39eaae"


def test_differences_are_against_the_defaults_of_the_parent():
    assert differences(Solve()) == {}
    # 3 is the default of Solve, 0 that of Search alone.
    assert differences(Solve(search=Search(depth=3))) == {}
    assert differences(Solve(search=Search())) == {"search.depth": 0}
    assert differences(Solve(rate=0.1), Solve(game="kuhn")) == {"game": "comm", "rate": 0.1}


@given(
    game=st.text(min_size=1),
    sizes=st.lists(st.integers(0, 99), max_size=4),
    rate=st.floats(allow_nan=False, allow_infinity=False),
    depth=st.integers(0, 9),
)
def test_a_saved_configuration_loads_as_the_same(
    tmp_path_factory: pytest.TempPathFactory, game: str, sizes: list[int], rate: float, depth: int
):
    config = Solve(game=game, sizes=tuple(sizes), rate=rate, search=Search(depth=depth))
    file = write_toml(tmp_path_factory.mktemp("config") / "config.toml", to_plain(config))
    assert load_config(Solve, file) == config == make_config(Solve, read_toml(file))
    assert config_hash(load_config(Solve, file)) == config_hash(config)
