"""What the sampling baselines share: softmax rows, draws, and Adam on rows that were touched."""

from __future__ import annotations

import numba
import numpy as np

ADAM_BETA_1 = 0.9
ADAM_BETA_2 = 0.999
ADAM_EPSILON = 1e-8


@numba.njit(cache=True)
def softmax(logits, probabilities, start, end):
    """`probabilities[start:end]` from `logits[start:end]`."""
    highest = logits[start]
    for e in range(start + 1, end):
        highest = max(highest, logits[e])
    total = 0.0
    for e in range(start, end):
        probabilities[e] = np.exp(logits[e] - highest)
        total += probabilities[e]
    for e in range(start, end):
        probabilities[e] /= total


@numba.njit(cache=True)
def draw(probabilities, start, end, generator):
    """An index in `start..end`, drawn with the given probabilities (which sum to 1)."""
    left = generator.random()
    for e in range(start, end - 1):
        left -= probabilities[e]
        if left < 0.0:
            return e
    return end - 1


@numba.njit(cache=True)
def draw_from_cumulative(cumulative, start, end, generator):
    """An index in `start..end`, drawn by cumulative probabilities (for long rows)."""
    return min(
        start + np.searchsorted(cumulative[start:end], generator.random(), side="right"), end - 1
    )


@numba.njit(cache=True)
def add_policy_gradient(gradient, logits, probabilities, chosen, start, end, advantage, entropy):
    """Add the ascent direction of  advantage * log p(chosen) + entropy * H(p)  to the logits' row.

    d log p(c) / d logit(a) = [a = c] - p(a);
    d H / d logit(a) = -p(a) (log p(a) + H) = -p(a) (logit(a) - mean logit under p).
    """
    mean = 0.0
    for e in range(start, end):
        mean += probabilities[e] * logits[e]
    for e in range(start, end):
        gradient[e] -= probabilities[e] * (advantage + entropy * (logits[e] - mean))
    gradient[chosen] += advantage


@numba.njit(cache=True)
def adam_ascent(table, start, end, count, rate):
    """One Adam step up on the columns `start..end` of a table, whose gradient is then cleared.

    Args:
      table: `[4, N]` rows: parameters, gradient, first and second moment.
      start: first column.
      end: after the last column.
      count: steps that these columns have had, the present one included. Columns that no sampled
        game touches wait unchanged (lazy Adam).
      rate: length of a step.
    """
    scale_first = 1.0 / (1.0 - ADAM_BETA_1**count)
    scale_second = 1.0 / (1.0 - ADAM_BETA_2**count)
    for e in range(start, end):
        g = table[1, e]
        table[1, e] = 0.0
        table[2, e] += (1.0 - ADAM_BETA_1) * (g - table[2, e])
        table[3, e] += (1.0 - ADAM_BETA_2) * (g * g - table[3, e])
        step = np.sqrt(table[3, e] * scale_second) + ADAM_EPSILON
        table[0, e] += rate * table[2, e] * scale_first / step
