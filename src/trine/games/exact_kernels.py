"""Inner loops of the subset dynamic program (`exact_subsets`).

A *block* is an array `[2^n, L]`: one row for every subset of the mover's n types (bit t of the row
number says whether type t belongs), one column, a *lane*, for each of L sets of the other player's
types. Lanes are independent and contiguous, so every loop below ends in a run over lanes that
compilers turn into vector instructions.
"""

from __future__ import annotations

import numba
import numpy as np

_LOW_BITS = 7
"""`2^7` rows of a block are folded at a time, so that three such parts stay in the second cache."""


@numba.njit(cache=True, nogil=True)
def fold_blocks(first, second, out):
    """`out(S) = max over A in S of first(A) + second(S - A)`: a (max, +) subset convolution.

    `3^n L` additions. The three blocks must not overlap.
    """
    rows, lanes = out.shape
    low = min(rows, 1 << _LOW_BITS)
    for high in range(rows // low):
        base = high * low
        part = high
        while True:  # over subsets of the high bits, from all to none
            f0, g0 = part * low, (high ^ part) * low
            for s in range(low):
                row = out[base + s]
                if part == high:
                    # The split that leaves nothing to `second` starts the maximum.
                    f, g = first[f0 + s], second[g0]
                    for j in range(lanes):
                        row[j] = f[j] + g[j]
                a = s
                while True:  # over subsets of the low bits, two at a time
                    b = (a - 1) & s if a > 0 else 0
                    f, g = first[f0 + a], second[g0 + (s ^ a)]
                    f_next, g_next = first[f0 + b], second[g0 + (s ^ b)]
                    for j in range(lanes):
                        # Unconditional stores: only these become vector instructions.
                        x = row.dtype.type(f[j] + g[j])
                        y = row.dtype.type(f_next[j] + g_next[j])
                        x = x if x > y else y
                        row[j] = x if x > row[j] else row[j]
                    if b == 0:
                        break
                    a = (b - 1) & s
            if part == 0:
                break
            part = (part - 1) & high


@numba.njit(cache=True, nogil=True)
def fold_additive(block, weight):
    """Fold a block with the additive function `sum over t in A of weight[t]`, in place.

    Type by type: `new(S + t) = max(old(S + t), old(S) + weight[t])`; `n 2^n L` operations.
    """
    rows, lanes = block.shape
    for t in range(len(weight)):
        w = weight[t]
        bit = 1 << t
        for s in range(rows):
            if s & bit:
                row, without = block[s], block[s ^ bit]
                for j in range(lanes):
                    total = row.dtype.type(without[j] + w[j])
                    row[j] = total if total > row[j] else row[j]


@numba.njit(cache=True, nogil=True)
def fold_at_full(first, second, out):
    """Only the last row of `fold_blocks`: the split of the full set. `out` is `[L]`."""
    rows, lanes = first.shape
    for a in range(rows):
        f, g = first[a], second[rows - 1 - a]
        for j in range(lanes):
            total = out.dtype.type(f[j] + g[j])
            if a == 0 or total > out[j]:
                out[j] = total


@numba.njit(cache=True, nogil=True)
def additive_rows(weight, out):
    """`out(S) = sum over t in S of weight[t]`; weight `[n, L]`, out `[2^n, L]`."""
    lanes = out.shape[1]
    for j in range(lanes):
        out[0, j] = 0
    for t in range(len(weight)):
        bit = 1 << t
        for s in range(bit):
            for j in range(lanes):
                out[bit + s, j] = out[s, j] + weight[t, j]


@numba.njit(cache=True, nogil=True)
def additive_lanes(weight, first_lane, out):
    """Lanes are sets of the types that `weight` belongs to.

    `out(A, j) = sum over t in (first_lane + j) of weight[t, A]`; weight `[n, 2^m]`, out `[2^m, L]`,
    where `L` is a power of two that divides `first_lane`, or 1.
    """
    rows, lanes = out.shape
    for a in range(rows):
        row = out[a]
        base = row.dtype.type(0)
        for t in range(len(weight)):
            if (first_lane >> t) & 1:
                base += weight[t, a]
        row[0] = base
        bit, t = 1, 0
        while bit < lanes:
            w = weight[t, a]
            for j in range(bit):
                row[bit + j] = row[j] + w
            bit <<= 1
            t += 1


@numba.njit(cache=True, nogil=True)
def additive_columns(weight, out):
    """`out[j, A] = sum over t in A of weight[t, j]`; weight `[n, L]`, out `[L, 2^n]`."""
    for j in range(len(out)):
        row = out[j]
        row[0] = 0
        for t in range(len(weight)):
            bit, w = 1 << t, weight[t, j]
            known, new = row[:bit], row[bit : 2 * bit]
            for s in range(bit):
                new[s] = known[s] + w


@numba.njit(cache=True, nogil=True)
def raise_to(source, of_row, of_column, out, first):
    """`out = max(out, source + of_row + of_column)`; the first time without the old `out`.

    source and out `[L, m]`, of_row `[L]`, of_column `[m]`.
    """
    rows, columns = out.shape
    for j in range(rows):
        row, here, constant = out[j], source[j], of_row[j]
        if first:
            for a in range(columns):
                row[a] = here[a] + of_column[a] + constant
        else:
            for a in range(columns):
                total = row.dtype.type(here[a] + of_column[a] + constant)
                row[a] = total if total > row[a] else row[a]


@numba.njit(cache=True, nogil=True)
def transpose(source, out):
    """`out[a, j] = source[j, a]`, in tiles that fit the first cache."""
    rows, lanes = out.shape
    tile = 64
    for a0 in range(0, rows, tile):
        for j in range(lanes):
            for a in range(a0, min(a0 + tile, rows)):
                out[a, j] = source[j, a]


def subset_sums(weight: np.ndarray) -> np.ndarray:
    """`[n, m]` weights -> `[n, 2^m]` their sums over every subset of the columns."""
    sums = np.zeros((len(weight), 1), dtype=weight.dtype)
    for column in weight.T:
        sums = np.concatenate([sums, sums + column[:, None]], axis=1)
    return sums
