import json

from tests.bridge.test_training import recipe

__all__ = ["recipe"]


def test_train_on_the_command_line(trine, recipe):
    settings = ["--set", "budget.updates=2", "--set", "imitation.updates=3"]
    planned = trine("bridge", "train", str(recipe), *settings, "--dry-run", "--json", timeout=400)
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["imitation_updates"] == 3
    done = trine("bridge", "train", str(recipe), *settings, "--run", "here", "--json", timeout=400)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["self_play"]["updates"] == 2
    assert {"imps_per_board", "se", "boards"} <= document["match"].keys()


def test_mistakes_are_one_line(trine, tmp_path):
    (tmp_path / "r.toml").write_text('[deals]\nfiles = ["x.npz"]\n[budget]\nupdates = 1\n')
    missing = trine("bridge", "train", "r.toml")
    assert missing.returncode == 3 and "no file" in missing.stderr
    wrong = trine("bridge", "train", "r.toml", "--set", "ppo.boards=0")
    assert wrong.returncode == 2 and "ppo.boards" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
