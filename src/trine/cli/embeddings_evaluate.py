"""`trine embeddings evaluate | compare`: models, bases and endpoints on the tasks of a recipe."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.cli.embeddings_options import (
    DrawsOption,
    MaxRowsOption,
    MixtureOption,
    SuiteOption,
    WidthOption,
    mixture_tasks,
    suite_tasks,
)
from trine.cli.output import emit, make_progress, say
from trine.cli.runs import JsonOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the commands to the room's."""
    app.command()(evaluate)
    app.command()(compare)


def evaluate(
    model: Annotated[str, typer.Argument(help="A folder, a base (minilm, ...) or a hub name.")],
    suite: SuiteOption,
    widths: WidthOption = None,
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    max_rows: MaxRowsOption = None,
    mixture: MixtureOption = None,
    draws: DrawsOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Score a model on every task of a recipe, by MTEB's protocols, language by language.

    Example: trine embeddings evaluate runs/my-run/model --suite recipe.toml
    """
    from dataclasses import asdict

    from trine.core.errors import DataError, UsageError

    if split not in ("test", "validation"):
        raise UsageError(f"split {split!r}", accepted="test, validation")
    tasks = suite_tasks(suite, "trine embeddings evaluate")
    from trine.embeddings.comparing import open_scored
    from trine.embeddings.evaluation.suite import evaluate_model
    from trine.embeddings.train_report import scores_table

    rows = evaluate_model(
        open_scored(model, tasks if mixture is None else mixture_tasks(mixture) or []),
        tasks,
        model_name=model,
        widths=widths,
        split=split,
        max_rows=max_rows,
        draws=draws,
        progress=make_progress(),
    )
    if not rows:
        raise DataError(
            f"{suite} has no {split} rows to score",
            hint="set validation_rows for its tasks" if split == "validation" else "",
        )
    emit([asdict(row) for row in rows], as_json=as_json, tables=[scores_table(rows)])


def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="Folders, bases (minilm, minilm+pca50, ...) or hub names."),
    ],
    suite: SuiteOption,
    api: Annotated[
        str | None, typer.Option("--api", help="Address of an OpenAI-compatible endpoint, .../v1.")
    ] = None,
    api_model: Annotated[
        str | None, typer.Option("--api-model", help="Name of the model there.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Call the endpoint without asking; the cost is said.")
    ] = False,
    mixture: MixtureOption = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Where answers are kept.  [default: under $TRINE_CACHE]"),
    ] = None,
    widths: WidthOption = None,
    max_rows: MaxRowsOption = None,
    draws: DrawsOption = 10,
    out: Annotated[Path | None, typer.Option("--out", help="Also write an HTML page here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Score several models side by side, an endpoint too (key: $OPENAI_API_KEY, never stored).

    Example: trine embeddings compare minilm minilm+pca50 runs/my-run/model --suite recipe.toml
    """
    from dataclasses import asdict

    from trine.core.errors import UsageError

    if (api is None) != (api_model is None):
        raise UsageError("--api and --api-model go together", accepted="both or neither")
    tasks = suite_tasks(suite, "trine embeddings compare")
    from trine.embeddings.comparing import api_scores, api_texts, shown_names
    from trine.embeddings.comparing import compare as run_compare
    from trine.embeddings.comparing_report import comparison_table, write_comparison

    shown = shown_names(models, api_model or "")
    endpoint: Any = None
    if api is not None and api_model is not None:
        from trine.embeddings.api import ApiModel
        from trine.embeddings.bases import cache_directory

        endpoint = ApiModel(api, api_model, cache or cache_directory() / "api-vectors.sqlite")
        estimate = endpoint.estimate(api_texts(tasks, max_rows=max_rows, draws=draws))
        say(f"{api_model}: {estimate}")
        if any(task.config.prefix for task in tasks):
            say(f"{api_model}: gets the texts without the prefixes of the recipe")
        if estimate.texts and not endpoint.is_local and not yes:
            _ask(f"call {endpoint.shown} now?")
    # The endpoint first: what it answers is kept, what the models score is lost if it fails.
    theirs: list[Any] = []
    if endpoint is not None:
        theirs = api_scores(
            endpoint, tasks, model_name=shown[-1], widths=widths, max_rows=max_rows, draws=draws,
            progress=make_progress(),
        )  # fmt: skip
    rows = run_compare(
        models, tasks, shown=shown[: len(models)], mixture=mixture_tasks(mixture), widths=widths,
        max_rows=max_rows, draws=draws, progress=make_progress(),
    )  # fmt: skip
    rows += theirs
    written = f"page: {write_comparison(rows, out)}" if out is not None else ""
    emit(
        [asdict(row) for row in rows],
        as_json=as_json,
        tables=[comparison_table(rows)],
        text=written,
    )


def _ask(question: str) -> None:
    import sys

    from trine.core.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("this would call a paid endpoint", hint="give --yes to go on")
    typer.confirm(question, abort=True, err=True)
