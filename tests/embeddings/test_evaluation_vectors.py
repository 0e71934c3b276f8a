"""Each text is encoded once, cut to any width, and has length one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.embeddings.given_vectors import Given, named, unit
from trine.embeddings.evaluation.vectors import KnownVectors, TextVectors, cut


@given(st.integers(1, 8), st.integers(0, 2**31), st.floats(0.01, 1000))
def test_cut_is_the_first_numbers_at_length_one(width: int, seed: int, scale: float) -> None:
    vectors = np.random.default_rng(seed).standard_normal((5, 8))
    short = cut(scale * vectors, width)
    assert short.shape == (5, width)
    assert short.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(short, unit(vectors[:, :width]), atol=1e-5)


def test_a_vector_of_zeros_stays_one() -> None:
    assert not cut(np.zeros((2, 4)), 2).any()


def test_texts_are_encoded_once() -> None:
    texts, encoder = named(unit(np.random.default_rng(0).standard_normal((6, 4))))
    store = TextVectors(encoder)
    store.add(texts[:3])
    store.add([*texts[:4], texts[0]])
    first = store.get([texts[5], texts[0], texts[5]])
    np.testing.assert_allclose(first[0], first[2])
    np.testing.assert_allclose(first[1], encoder.vectors[texts[0]], rtol=1e-6)
    store.get(texts[:4], 2)
    assert set(encoder.asked.values()) == {1}
    assert len(store) == 5
    assert store.width == 4


def test_no_text() -> None:
    store = TextVectors(Given({"width": np.ones(3)}))
    assert store.get([]).shape == (0, 3)
    assert store.get([], 2).shape == (0, 2)


def test_the_encoder_of_mteb_gives_rows_in_order() -> None:
    texts, encoder = named(unit(np.random.default_rng(0).standard_normal((5, 4))))
    known = KnownVectors(TextVectors(encoder), 3, "mine")
    batches = [{"text": texts[:2]}, {"text": texts[2:]}]
    found = known.encode(batches, task_metadata=None)
    np.testing.assert_allclose(found, cut(np.stack(list(encoder.vectors.values())), 3), rtol=1e-6)
    np.testing.assert_allclose(known.similarity(found, found), found @ found.T, atol=1e-6)
    pairs = known.similarity_pairwise(found, found[::-1].copy())
    np.testing.assert_allclose(pairs, (found * found[::-1]).sum(axis=1), atol=1e-6)
    assert known.mteb_model_meta.name == "trine/mine"
