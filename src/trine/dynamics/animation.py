"""Correlation matrices of teacher and student nodes over time, as one page that plays offline.

Student nodes stand in the order of the end (`pictures.winner_order`), so that one watches a
diagonal appear. Correlations are kept in 256 steps, which a colour does not tell apart anyway.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import trine
from trine.core.artifacts import write_text
from trine.dynamics.films import Reel
from trine.dynamics.pictures import winner_order
from trine.dynamics.trial import Snapshot

__all__ = ["MOST_BYTES", "animation_document", "render_animation", "write_animation"]

MOST_BYTES = 3 * 2**20
"""Size that the matrices of a page may have; more moments than fit are thinned evenly."""


def animation_document(
    snapshots: Sequence[Snapshot], place: int, *, most_bytes: int = MOST_BYTES
) -> dict[str, Any]:
    """What the page shows of one network, as JSON types.

    Args:
      snapshots: the film.
      place: of the network.
      most_bytes: see `MOST_BYTES`; first and last moment are always kept.

    Returns:
      `frames` (`epoch`, `step`, `loss`, and per layer the mean best correlation `best`) and
      `layers`, each with `teachers` m, `students` n, `winners` (how many columns on the left are
      winners), `order` (student node of each column), `dead` teacher nodes, and `data`: base64 of
      T m n bytes, correlation c as round((c + 1) / 2 * 255), moment by moment, row by row.
    """
    end = snapshots[-1].matching
    cells = sum(matrix[0].numel() for matrix in end.correlation)
    fitting = max(2, most_bytes // max(cells, 1))
    count = min(len(snapshots), fitting)
    chosen = np.unique(np.linspace(0, len(snapshots) - 1, count).round().astype(int))
    shots = [snapshots[index] for index in chosen]
    frames: list[dict[str, Any]] = []
    for shot in shots:
        alive = [s.mean_alive for s in shot.matching.summaries(place)]
        frames.append(
            {
                "epoch": round(shot.epoch, 5),
                "step": shot.step,
                "loss": _number(float(shot.evaluation_loss[place])),
                "best": [_number(value) for value in alive],
            }
        )
    layers: list[dict[str, Any]] = []
    for layer in range(end.depth):
        final = end.correlation[layer][place].numpy()
        order = winner_order(final)
        film = np.stack([s.matching.correlation[layer][place].numpy()[:, order] for s in shots])
        data = np.rint((np.clip(film, -1, 1) + 1) * 127.5).astype(np.uint8)
        layers.append(
            {
                "teachers": final.shape[0],
                "students": final.shape[1],
                "winners": len(set(final.argmax(1).tolist())),
                "order": order.tolist(),
                "dead": np.flatnonzero(~end.alive(layer)[place].numpy()).tolist(),
                "data": base64.b64encode(data.tobytes()).decode(),
            }
        )
    return {"frames": frames, "layers": layers}


def render_animation(title: str, document: dict[str, Any], caption: str = "") -> str:
    """The page as text.

    Args:
      title: of the page.
      document: as made by `animation_document`.
      caption: one or two sentences below the title.
    """
    environment = Environment(
        loader=PackageLoader("trine.dynamics", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # In a script element only "<" could end the data early.
    data = Markup(json.dumps(document, separators=(",", ":")).replace("<", "\\u003c"))
    return environment.get_template("animation.html.j2").render(
        title=title, caption=caption, data=data, version=trine.__version__
    )


def write_animation(path: Path, reel: Reel, place: int = 0) -> Path:
    """Writes the page of one seed of a film atomically and returns its path."""
    config = reel.config
    title = f"{config.setup}: teacher {config.teacher}, student {config.student_architecture.label}"
    caption = (
        f"Seed {reel.seeds[place]}, {config.data.evaluation:,} evaluation samples. A row is a "
        "teacher node, a column a student node. The winners, left of the line, stand in the order "
        "of their teacher nodes, so that a diagonal appears; the others are to the right."
    )
    document = animation_document(reel.snapshots, place)
    return write_text(path, render_animation(title, document, caption))


def _number(value: float) -> float | None:
    return None if value != value else float(f"{value:.5g}")
