"""The bridge section of the demo, with a shorter match and a shorter training."""

import numpy as np

from trine.bridge import demo
from trine.bridge.deals import read_solved_deals
from trine.bridge.par import find_par
from trine.bridge.symmetry import is_evaluation
from trine.core.executors import SerialExecutor
from trine.core.progress import SilentProgress
from trine.core.report import SectionContext, render_report


def _small(seed: int = 0):
    whole = _RECIPE(seed)
    changed = {
        "network": whole.network.model_copy(update={"width": 16}),
        "critic": whole.critic.model_copy(update={"width": 16}),
        "ppo": whole.ppo.model_copy(update={"boards": 32}),
        "budget": whole.budget.model_copy(update={"updates": 3}),
        "evaluation": whole.evaluation.model_copy(
            update={"boards": 50, "every": 1, "final_boards": 50}
        ),
    }
    return whole.model_copy(update=changed)


_RECIPE = demo.demo_recipe


def test_the_ten_deals_are_what_they_are_said_to_be_and_never_trained_on():
    deals = read_solved_deals(demo.SAMPLE)
    held = deals.take(np.flatnonzero(is_evaluation(deals.owner)))
    boards = demo.interesting_boards(held)
    assert [board.tags["Event"] for board in boards] == [
        kind for kind, count in demo.KINDS for _ in range(count)
    ]
    assert len(boards) == 10
    for board in boards:
        assert board.tricks is not None
        assert is_evaluation(board.deal.owner[None]).all()
        par = find_par(board.tricks, board.dealer, int(board.vulnerability))
        level, doubled = par.contracts[0].level, par.contracts[0].doubled
        kind = board.tags["Event"]
        assert (doubled > 0) == (kind == "sacrifice")
        assert doubled or (level >= 6) == ("slam" in kind)


def test_the_section_bids_plays_and_learns_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "demo_recipe", _small)
    monkeypatch.setattr(demo, "BOARDS", 40)
    context = SectionContext(tmp_path, SerialExecutor(), SilentProgress())
    section = demo.section(context)
    deals, match = section.tables
    assert deals.frame.height == 10
    assert match.frame["bot"].to_list() == ["trine", "rules"]
    assert match.frame["imps"].sum() == 0
    assert "IMPs a board away from par" in section.paragraphs[2]
    assert len(section.figures) == demo.DIAGRAMS + 2
    page = render_report("demo", [section])
    assert "Board" in page and "double-dummy" in page
    # What was trained is not trained again.
    before = (tmp_path / "training" / "network.safetensors").stat().st_mtime_ns
    assert demo.section(context).paragraphs == section.paragraphs
    assert (tmp_path / "training" / "network.safetensors").stat().st_mtime_ns == before
