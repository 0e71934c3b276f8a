"""The head computed once more, from the vectors of the trained encoder.

Training moves the encoder far more than the head: what the small head throws away was chosen for
the base's vectors, not for these. Computing its start again on the trained encoder costs
seconds and gave most of the zero-shot gain at 50 numbers that we measured (docs/embeddings).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trine.core.seeding import Seeds
from trine.embeddings.config import HeadConfig
from trine.embeddings.encoder import head_of
from trine.embeddings.head import start_head
from trine.embeddings.head_texts import head_texts
from trine.embeddings.inference import Encoder
from trine.embeddings.tasks import Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["refit_head"]


def refit_head(
    model: SentenceTransformer,
    tasks: Sequence[Task],
    config: HeadConfig,
    seeds: Seeds,
    widths: Sequence[int] = (),
) -> None:
    """Sets the head to its start on the encoder as it is now; changes the model.

    Args:
      model: at full width, with a head.
      tasks: as for the start of the head; no row that is scored is used.
      config: which start; `random` and `none` leave the head as it is.
      seeds: of the choice of texts.
      widths: as for the start of the head.
    """
    import torch

    head = head_of(model)
    if head is None or config.start in ("random", "none"):
        return
    given = head_texts(tasks, config, seeds.generator("mixture"))
    place = next(i for i, module in enumerate(model) if module is head)
    below = torch.nn.Sequential(*list(model)[:place])
    encoder = Encoder.of(model, modules=below)
    vectors = given.vectors(lambda prefix, texts: encoder.with_prefix(prefix).encode(texts))
    weight, bias = start_head(
        vectors, given.labels, config, seeds.generator("head"), widths,
        groups=given.groups, pair_tasks=given.pair_tasks,
    )  # fmt: skip
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(weight))
        head.linear.bias.copy_(torch.from_numpy(bias))
