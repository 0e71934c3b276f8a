"""Member vectors: clusters against scikit-learn's, medoids and places by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering

from trine.core.errors import UsageError
from trine.embeddings.members import Interest, cluster_member, retrieve


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def two_topics() -> np.ndarray:
    generator = np.random.default_rng(0)
    first = np.array([1.0, 0, 0, 0]) + 0.1 * generator.standard_normal((6, 4))
    second = np.array([0, 1.0, 0, 0]) + 0.1 * generator.standard_normal((3, 4))
    return unit(np.concatenate([first, second]))


def test_two_topics_are_two_interests_weighted_by_their_posts():
    interests = cluster_member(two_topics())
    assert [set(i.rows) for i in interests] == [set(range(6)), {6, 7, 8}]
    assert [i.weight for i in interests] == pytest.approx([6 / 9, 3 / 9])


def test_clusters_are_those_of_scikit_learn():
    vectors = unit(np.random.default_rng(1).standard_normal((40, 8)))
    theirs = AgglomerativeClustering(
        n_clusters=None,  # pyright: ignore[reportArgumentType] (its stubs know numbers only)
        distance_threshold=1.4,
        linkage="ward",
    ).fit_predict(vectors)
    ours = cluster_member(vectors, distance=1.4, most=40)
    expected = {frozenset(map(int, np.flatnonzero(theirs == c))) for c in np.unique(theirs)}
    assert {frozenset(i.rows) for i in ours} == expected


def test_the_documented_meaning_of_the_cut():
    # Two posts with a cosine of 0.5 are at distance 1: joined just above it, apart just below.
    pair = np.array([[1, 0], [0.5, np.sqrt(0.75)]], dtype=np.float32)
    assert len(cluster_member(pair, distance=1.001)) == 1
    assert len(cluster_member(pair, distance=0.999)) == 2


def test_a_new_post_outweighs_old_ones():
    interests = cluster_member(two_topics(), ages=[360] * 6 + [0] * 3, half_life=90)
    assert set(interests[0].rows) == {6, 7, 8}
    assert interests[0].weight == pytest.approx(3 / (3 + 6 / 16))


def test_only_the_differences_of_ages_count_however_large_they_are():
    ages = np.array([360.0] * 6 + [0.0] * 3)
    near = cluster_member(two_topics(), ages=ages.tolist())
    for more in (1e5, 1.7e9):  # posts of a long time ago; times in seconds given as ages
        far = cluster_member(two_topics(), ages=(ages + more).tolist())
        assert [i.weight for i in far] == pytest.approx([i.weight for i in near])
        assert [i.rows for i in far] == [i.rows for i in near]
    lost = cluster_member(two_topics(), ages=[1e15] * 6 + [0.0] * 3)
    assert [i.weight for i in lost] == [1, 0]


def test_the_medoid_is_the_most_central_post():
    angles = np.array([0.0, 0.1, 0.2, 0.5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    # Sums of cosines by hand: the post at 0.2 is nearest to the others on average.
    assert cluster_member(vectors)[0].medoid == 2


def test_every_interest_gets_its_share_of_the_places():
    interests = [
        Interest(0, np.array([1, 0], dtype=np.float32), 0.75, (0,)),
        Interest(1, np.array([0, 1], dtype=np.float32), 0.25, (1,)),
    ]
    generator = np.random.default_rng(2)
    near_first = np.array([1, 0]) + 0.05 * generator.standard_normal((20, 2))
    near_second = np.array([0, 1]) + 0.3 * generator.standard_normal((20, 2))
    posts = unit(np.concatenate([near_first, near_second]))
    hits = retrieve(interests, posts, 8)
    assert [sum(1 for hit in hits if hit[2] == i) for i in (0, 1)] == [6, 2]
    cosines = [hit[1] for hit in hits]
    assert cosines == sorted(cosines, reverse=True)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**31))
def test_retrieval_finds_distinct_allowed_posts(n: int, k: int, seed: int):
    generator = np.random.default_rng(seed)
    posts = unit(generator.standard_normal((n, 3)) + 1e-3)
    interests = cluster_member(unit(generator.standard_normal((5, 3)) + 1e-3))
    hits = retrieve(interests, posts, k, exclude=[0])
    rows = [hit[0] for hit in hits]
    assert len(rows) == len(set(rows)) == min(k, n - 1)
    assert 0 not in rows


def test_wrong_numbers_are_refused():
    with pytest.raises(UsageError, match="without posts"):
        cluster_member(np.zeros((0, 3), dtype=np.float32))
    with pytest.raises(UsageError, match="distance > 0"):
        cluster_member(two_topics(), distance=0)
    for age in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=rf"post 2 has the age {age:g}; accepted: days"):
            cluster_member(two_topics(), ages=[0.0, 3.0, age, *[0.0] * 6])
