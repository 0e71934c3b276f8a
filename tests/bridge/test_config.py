from pathlib import Path

import pytest

from trine.bridge.config import RewardConfig, load_recipe, resolve_deals, resolve_path
from trine.core.errors import ConfigError, DataError, UsageError

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "configs" / "bridge").rglob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name + "/" + path.stem)
def test_shipped_recipes_are_valid(path):
    recipe = load_recipe(path)
    assert recipe.title == path.stem
    assert recipe.budget.is_set or recipe.imitation.updates


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "nothing to do"),
        (["budget.updates=3"], "deals.files"),
        (["imitation.updates=3"], "imitation.auctions"),
        (["reward.tables=3", "budget.updates=1"], "even"),
        (["ppo.critic_warmup=3", "critic.privileged=false"], "nothing would learn"),
        (["ppo.settled=0.9", "critic.privileged=false"], "would miss the calls"),
        (["ppo.clop=3"], "did you mean 'ppo.clip'"),
        (["network.width=2"], "greater than or equal to 8"),
    ],
)
def test_wrong_recipes_say_what_is_wrong(tmp_path, settings, message):
    path = tmp_path / "recipe.toml"
    path.write_text("")
    with pytest.raises(ConfigError, match=message):
        load_recipe(path, settings)


def test_paths_start_from_the_recipe_and_know_variables(tmp_path, monkeypatch):
    (tmp_path / "deals.bin").write_bytes(b"x")
    monkeypatch.setenv("HERE", str(tmp_path))
    assert resolve_path("deals.bin", tmp_path) == tmp_path / "deals.bin"
    assert resolve_path("$HERE/deals.bin", Path("/")) == tmp_path / "deals.bin"
    assert resolve_deals("sample:random-10k", tmp_path) == "sample:random-10k"
    with pytest.raises(UsageError, match="not set"):
        resolve_path("$NOT_SET_ANYWHERE/deals.bin", tmp_path)
    with pytest.raises(DataError, match="no file"):
        resolve_path("other.bin", tmp_path)


def test_unit_of_the_reward():
    assert RewardConfig().unit == 24  # IMPs: the most a board can cost
    assert RewardConfig(kind="own_score").unit == 7600  # points: likewise (Kita et al. 2024)
    assert RewardConfig(scale=10).unit == 10
