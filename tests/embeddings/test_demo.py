"""The embeddings section of the demo, at a tiny size and on a tiny encoder."""

from pathlib import Path

import pytest

from tests.embeddings.tiny import tiny_encoder
from trine.core.executors import SerialExecutor
from trine.core.progress import SilentProgress
from trine.core.report import Section, SectionContext, render_report
from trine.embeddings import demo
from trine.embeddings.config import Recipe
from trine.embeddings.loading import load_tasks


def run(directory: Path) -> Section:
    return demo.section(SectionContext(directory, SerialExecutor(), SilentProgress()))


def test_the_recipe_reads_what_is_shipped_and_keeps_tests_apart():
    tasks, facts = load_tasks(demo.demo_recipe(), Path())
    assert [task.name for task in tasks] == [*demo.LEARNED, *demo.UNSEEN]
    by_name = {task.name: task for task in tasks}
    translations = by_name["translations"]
    assert set(translations.train["language"]).isdisjoint(demo.HELD_OUT)
    assert set(demo.HELD_OUT) < set(translations.rows("test")["language"])
    # No text that is scored in one task may be learned in another.
    learned = {text for name in demo.LEARNED for text in by_name[name].train["text"]}
    scored = {text for task in tasks for text in task.rows("test")["text"]}
    assert not learned & scored
    assert all(fact.splits["test"] for fact in facts)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_section_is_the_study_in_small_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tiny_encoder(tmp_path)
    base = tmp_path / "tiny"
    whole = demo.demo_recipe()
    kept = [task for task in whole.tasks if task.name in ("storyline", "translations", "function")]

    def small(seed: int = 0) -> Recipe:
        model = whole.model.model_copy(update={"base": str(base), "freeze_layers": 0})
        return whole.model_copy(
            update={
                "tasks": tuple(kept), "model": model, "dimension": 8, "seed": seed,
                "training": whole.training.model_copy(update={"steps": 2, "batch_size": 4}),
            }
        )  # fmt: skip

    for name, value in (("MAX_ROWS", 12), ("DRAWS", 1), ("WIDTHS", (4,))):
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo, "demo_recipe", small)
    section = run(tmp_path / "section")
    trained, unseen, languages = section.tables
    assert trained.frame["task"].to_list() == ["storyline", "translations"]
    assert unseen.frame["task"].to_list() == ["function"]
    seen = dict(languages.frame.select("language", "seen").iter_rows())
    assert (seen["es"], seen["ja"], seen["de"]) == ("no", "no", "yes")
    assert "an anecdote" in " ".join(section.paragraphs)
    assert len(section.figures) >= 4
    assert "languages.csv" in {path.name for path in (tmp_path / "section" / "tables").iterdir()}
    page = render_report("Demo", [section])
    assert "1 seed" in page

    def train_again(*_: object, **__: object) -> None:
        raise AssertionError("a model that is there already was trained again")

    monkeypatch.setattr("trine.embeddings.train_run.train", train_again)
    again = run(tmp_path / "section")
    assert again.tables[0].frame.equals(trained.frame)
