"""Pictures of a transfer study: functions of tidy frames, no reading and no writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from trine.core.figures import Palette, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["difference_bars", "dimension_curve", "language_bars", "transfer_matrix"]

# The same arm has the same colour in every picture of a study.
ARMS = Palette(("multi", "base+pca", "single", "base"))


def transfer_matrix(frame: pl.DataFrame, title: str) -> Figure:
    """Gain over the base's PCA: a row for what was learned, a column for what is scored.

    A line divides the trained tasks from those that were never trained on.

    Args:
      frame: of `transfer_analysis.matrix_frame`.
      title: the finding.
    """
    learned = list(dict.fromkeys(frame["trained"].to_list()))
    learned = [name for name in learned if name != "all together"] + ["all together"]
    scored = [n for n in learned if n in set(frame["task"])]
    scored += [n for n in dict.fromkeys(frame["task"].to_list()) if n not in scored]
    values = np.full((len(learned), len(scored)), np.nan)
    for trained, task, gain in frame.select("trained", "task", "gain").iter_rows():
        if gain is not None:
            values[learned.index(trained), scored.index(task)] = gain
    figure, axes = new_figure(
        max(6.4, 1.6 + 0.75 * len(scored)), max(3.0, 1.4 + 0.38 * len(learned))
    )
    reach = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    with house_style():
        image = axes.imshow(values, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto")
        for i, j in np.ndindex(values.shape):
            if np.isfinite(values[i, j]):
                dark = abs(values[i, j]) > 0.6 * reach
                axes.text(
                    j, i, f"{values[i, j]:+z.1f}", ha="center", va="center", fontsize=7,
                    color="white" if dark else "black",
                )  # fmt: skip
        axes.set_xticks(range(len(scored)), scored, rotation=35, ha="right", fontsize=7)
        axes.set_yticks(range(len(learned)), learned, fontsize=7)
        axes.set_xlabel("scored on")
        axes.set_ylabel("learned")
        axes.grid(False)
        trained = len([name for name in scored if name in learned])
        if trained < len(scored):  # on the right of the line: tasks that nothing was trained on
            axes.axvline(trained - 0.5, color="black", lw=1.2)
        axes.set_title(title)
        figure.colorbar(image, ax=axes, label="points over the base's PCA")
    return figure


def dimension_curve(frame: pl.DataFrame, title: str) -> Figure:
    """Mean score against width, for trained and for zero-shot tasks.

    Args:
      frame: of `transfer_analysis.curve_frame`.
      title: the finding.
    """
    figure, axes = new_figure()
    names = {"multi": "multi-task", "base+pca": "base, PCA"}
    with house_style():
        for (role, arm), rows in frame.group_by("role", "arm", maintain_order=True):
            kind = "trained" if role == "train" else str(role).replace("_", "-")
            label = f"{names.get(str(arm), str(arm))}, {kind} tasks"
            rows = rows.sort("width")
            spread = rows["se"].fill_null(0).fill_nan(0).to_numpy()
            scores = rows["score"].to_numpy()
            colour = ARMS.colour(str(arm))
            dash = "-" if role == "train" else "--"
            axes.plot(
                rows["width"].to_numpy(), scores, dash, color=colour, marker="o", ms=3, label=label
            )
            axes.fill_between(
                rows["width"].to_numpy(), scores - spread, scores + spread, color=colour,
                alpha=0.2, lw=0,
            )  # fmt: skip
        widths = sorted(frame["width"].unique())
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(width) for width in widths], fontsize=7)
        axes.minorticks_off()
        axes.set_xlabel("numbers in a vector")
        axes.set_ylabel("mean score over tasks")
        axes.set_title(title)
        axes.legend()
    return figure


def language_bars(frame: pl.DataFrame, title: str) -> Figure:
    """Gain over the base at its full width, language by language; hatched: never trained on.

    Whiskers are standard errors over seeds, where there are several.

    Args:
      frame: of `transfer_analysis.language_frame`, of one task.
      title: the finding.
    """
    rows = frame.sort("gain", descending=True)
    figure, axes = new_figure(max(6.0, 1.5 + 0.24 * rows.height), 3.4)
    with house_style():
        seen = rows["seen"].to_list()
        bars = axes.bar(
            range(rows.height),
            rows["gain"].to_list(),
            color=[ARMS.colour("multi") if s else "white" for s in seen],
            edgecolor=ARMS.colour("multi"),
            yerr=rows["multi_se"].fill_nan(0).fill_null(0).to_list(),
            error_kw={"lw": 1.0},
        )
        for bar, was_seen in zip(bars, seen, strict=True):
            if not was_seen:
                bar.set_hatch("////")
        axes.axhline(0, color="black", lw=0.8)
        axes.set_xticks(range(rows.height), rows["language"].to_list(), rotation=90, fontsize=7)
        axes.set_ylabel("points over the base")
        axes.set_title(title)
    return figure


def difference_bars(frame: pl.DataFrame, title: str) -> Figure:
    """Multi minus single for each trained task with its 95 % interval.

    Args:
      frame: of `transfer_analysis.positive_transfer`.
      title: the finding.
    """
    rows = frame.sort("difference")
    figure, axes = new_figure(6.0, 1.2 + 0.32 * rows.height)
    means = rows["difference"].to_numpy()
    ends = np.stack([means - rows["low"].to_numpy(), rows["high"].to_numpy() - means])
    with house_style():
        axes.errorbar(
            means, range(rows.height), xerr=np.nan_to_num(ends), fmt="o",
            color=ARMS.colour("multi"), capsize=3,
        )  # fmt: skip
        axes.axvline(0, color="black", lw=0.8)
        axes.set_yticks(range(rows.height), rows["task"].to_list())
        axes.set_xlabel("points, learned together minus learned alone")
        axes.set_title(title)
    return figure
