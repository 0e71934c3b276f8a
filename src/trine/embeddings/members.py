"""Member vectors: the posts of a member as a few weighted medoids, and retrieval by each of them.

One mean of all posts of a member who writes on two topics lies between them and is near to neither.
Instead the posts' vectors are clustered by Ward's method, the tree is cut at a distance, and each
cluster is kept as its medoid with a weight (LinkedIn Post Embeddings, arXiv 2405.11344, as reviews
of it describe; the cut, the weights and the number of clusters are our choice).

On vectors of length one Ward's method agrees with the cosine, since the squared distance of two of
them is 2 - 2 cos. The height of a merge of clusters A and B is sqrt(2 |A||B| / (|A|+|B|)) times the
distance of their centroids, so `distance` = 1 joins two single posts with a cosine of 0.5 or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trine.core.errors import UsageError

__all__ = ["Interest", "cluster_member", "retrieve"]


@dataclass(frozen=True, slots=True)
class Interest:
    """One cluster of a member's posts.

    Attributes:
      medoid: row of the post with the largest mean cosine to the others of its cluster.
      vector: `[width]` of that post, length one.
      weight: share of the member's posts, newer ones counting more; all of a member sum to 1.
      rows: of the cluster's posts.
    """

    medoid: int
    vector: np.ndarray
    weight: float
    rows: tuple[int, ...]


def cluster_member(
    vectors: np.ndarray,
    *,
    distance: float = 1.0,
    most: int = 5,
    ages: Sequence[float] | None = None,
    half_life: float = 90.0,
) -> list[Interest]:
    """A member's interests, heaviest first.

    Args:
      vectors: `[n, width]` of one member's posts, length one.
      distance: height at which Ward's tree is cut.
      most: clusters kept; the lightest are left out and the weights made to sum to 1 again.
      ages: of each post, in days, 0 or more; None: all the same.
      half_life: days after which a post counts half.

    Raises:
      UsageError: no post, or numbers out of range, an age among them.
    """
    if not len(vectors):
        raise UsageError("a member without posts", accepted="at least one")
    if distance <= 0 or most < 1 or half_life <= 0:
        raise UsageError(
            f"distance {distance}, most {most}, half life {half_life}",
            accepted="distance > 0, most >= 1, half life > 0",
        )
    age = np.zeros(len(vectors)) if ages is None else np.asarray(ages, dtype=np.float64)
    odd = np.flatnonzero(~(np.isfinite(age) & (age >= 0)))
    if len(odd):
        raise UsageError(
            f"post {odd[0]} has the age {age[odd[0]]:g}", accepted="days, finite and 0 or more"
        )
    from scipy.cluster.hierarchy import fcluster, ward

    if len(vectors) == 1:
        groups = np.ones(1, dtype=np.int64)
    else:
        groups = fcluster(ward(vectors.astype(np.float64)), t=distance, criterion="distance")
    # As shares the weights are the same whenever the count begins: from the newest post none of a
    # whole member is lost to underflow, however old all of them are.
    weights = 0.5 ** ((age - age.min()) / half_life)
    found: list[Interest] = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        similar = vectors[rows] @ vectors[rows].T
        medoid = int(rows[similar.mean(axis=1).argmax()])
        found.append(
            Interest(medoid, vectors[medoid], float(weights[rows].sum()), tuple(map(int, rows)))
        )
    found.sort(key=lambda interest: (-interest.weight, interest.medoid))
    kept = found[:most]
    total = sum(interest.weight for interest in kept)
    return [Interest(i.medoid, i.vector, i.weight / total, i.rows) for i in kept]


def retrieve(
    interests: Sequence[Interest], posts: np.ndarray, k: int, *, exclude: Sequence[int] = ()
) -> list[tuple[int, float, int]]:
    """The k posts nearest to any interest, places shared out by weight.

    Each interest is asked for its own nearest posts, as many as its weight of `k` (rounded by
    largest remainder); a post that two interests want goes to the nearer.

    Args:
      interests: of one member.
      posts: `[n, width]` vectors to choose from, length one.
      k: how many.
      exclude: rows of posts that are not to be found, e.g. the member's own.

    Returns:
      `(row, cosine, interest)` of each, nearest first; fewer than `k` if there are fewer posts.
    """
    if not interests or not len(posts):
        return []
    cosines = np.stack([posts @ interest.vector for interest in interests])  # [interests, n]
    cosines[:, list(exclude)] = -np.inf
    owner = cosines.argmax(axis=0)
    shares = np.array([interest.weight for interest in interests]) * k
    places = np.floor(shares).astype(int)
    for i in np.argsort(-(shares - places), kind="stable")[: k - int(places.sum())]:
        places[i] += 1
    found: list[tuple[int, float, int]] = []
    left: list[tuple[int, float, int]] = []
    for i, count in enumerate(places):
        mine = [int(row) for row in np.argsort(-cosines[i], kind="stable") if owner[row] == i]
        mine = [row for row in mine if np.isfinite(cosines[i, row])]
        found += [(row, float(cosines[i, row]), i) for row in mine[:count]]
        left += [(row, float(cosines[i, row]), i) for row in mine[count:]]
    left.sort(key=lambda hit: -hit[1])
    found += left[: max(0, k - len(found))]
    return sorted(found, key=lambda hit: -hit[1])
