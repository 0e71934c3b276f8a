"""MTEB's protocols on local rows, each against an obvious computation with sklearn or scipy."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ndcg_score, v_measure_score
from sklearn.neighbors import KNeighborsClassifier

from tests.embeddings.given_vectors import Given, clouds, named, unit
from trine.core.errors import DataError
from trine.embeddings.evaluation.mteb_tasks import (
    bitext,
    classification,
    clustering,
    multilabel,
    retrieval,
    sts,
)

# MTEB's seed of every task.
SEED = 42


def drawn_examples(labels: list[str], draws: int, each: int = 8) -> list[list[int]]:
    """MTEB's draws: one order, shuffled again by the same generator for every draw."""
    order = list(range(len(labels)))
    found: list[list[int]] = []
    for _ in range(draws):
        np.random.RandomState(SEED).shuffle(order)
        taken: Counter[str] = Counter()
        chosen: list[int] = []
        for i in order:
            if taken[labels[i]] < each:
                taken[labels[i]] += 1
                chosen.append(i)
        found.append(chosen)
    return found


def frame(texts: list[str], labels: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"text": texts, "label": labels})


@pytest.mark.parametrize("groups", [2, 5])  # two labels once broke on MTEB's average precision
def test_classification_is_logistic_regression_on_eight_a_label(groups: int) -> None:
    kinds = [i % groups for i in range(30 * groups)]
    texts, encoder = named(clouds(kinds, noise=1.2))
    labels = [f"label {k}" for k in kinds]
    half = len(texts) // 2
    found = classification(
        frame(texts[:half], labels[:half]), frame(texts[half:], labels[half:]), encoder.known()
    )
    vectors = np.stack([encoder.vectors[text] for text in texts])
    accuracies = []
    for chosen in drawn_examples(labels[:half], 10):
        model = LogisticRegression(max_iter=100, random_state=SEED)
        model.fit(vectors[chosen], [labels[i] for i in chosen])
        accuracies.append(np.mean(model.predict(vectors[half:]) == np.array(labels[half:])))
    assert found.score == pytest.approx(100 * np.mean(accuracies))
    assert found.se == pytest.approx(100 * np.std(accuracies, ddof=1) / np.sqrt(10))
    assert (found.metric, found.n) == ("accuracy", len(texts) - half)
    assert 40 < found.score < 100
    assert set(encoder.asked.values()) == {1}


def test_draws_that_are_all_the_same_rows_say_nothing_of_an_error() -> None:
    kinds = [i % 2 for i in range(40)]
    texts, encoder = named(clouds(kinds, noise=1.2))
    labels = [f"label {k}" for k in kinds]
    few = 6  # three a label, and every draw wants eight
    found = classification(
        frame(texts[:few], labels[:few]), frame(texts[few:], labels[few:]), encoder.known()
    )
    assert found.se is None


def test_classification_of_perfect_random_and_unseen() -> None:
    kinds = [i % 4 for i in range(80)]
    labels = [f"l{k}" for k in kinds]
    perfect = np.eye(4, dtype=np.float32)[kinds] + 0.0
    texts, encoder = named(perfect)
    rows = frame(texts, labels)
    assert classification(rows, rows, encoder.known(), draws=2).score == 100
    noise, random_encoder = named(unit(np.random.default_rng(0).standard_normal((80, 5))))
    half = frame(noise[:40], labels[:40]), frame(noise[40:], labels[40:])
    assert classification(*half, random_encoder.known()).score == pytest.approx(25, abs=15)
    # Half of the scored rows have a label that no training row has: half is wrong.
    odd = rows.with_columns(
        pl.when(pl.int_range(pl.len()) < 40).then(pl.lit("new")).otherwise("label").alias("label")
    )
    assert classification(rows, odd, encoder.known(), draws=2).score == 50
    with pytest.raises(DataError, match=r"1 label\(s\).*two or more"):
        classification(frame(texts[:3], ["a"] * 3), rows, encoder.known())


def test_multilabel_is_five_neighbours_on_eight_a_label() -> None:
    kinds = [i % 4 for i in range(120)]
    texts, encoder = named(clouds(kinds, noise=1.0))
    labels = [[f"l{k}", *(["extra"] if i % 3 == 0 else [])] for i, k in enumerate(kinds)]
    rows = pl.DataFrame({"text": texts, "labels": labels})
    found = {m.metric: m for m in multilabel(rows[:60], rows[60:], encoder.known())}
    vectors = np.stack([encoder.vectors[text] for text in texts])
    names = ["extra", "l0", "l1", "l2", "l3"]
    truth = np.array([[name in row for name in names] for row in labels], dtype=int)
    generator = np.random.default_rng(SEED)
    lrap, f1 = [], []
    for _ in range(10):
        order = np.arange(60)
        generator.shuffle(order)
        taken: Counter[str] = Counter()
        chosen: list[int] = []
        for i in order:
            if any(taken[name] < 8 for name in labels[i]):
                chosen.append(int(i))
                taken.update(labels[i])
        model = KNeighborsClassifier(5).fit(vectors[chosen], truth[chosen])
        guess = np.asarray(model.predict(vectors[60:]))
        lrap.append(np.mean([_precision(t, g) for t, g in zip(truth[60:], guess, strict=True)]))
        f1.append(_macro_f1(truth[60:], guess))
    assert found["lrap"].score == pytest.approx(100 * np.mean(lrap))
    assert found["f1"].score == pytest.approx(100 * np.mean(f1))
    assert found["lrap"].n == 60


def _precision(truth: np.ndarray, guess: np.ndarray) -> float:
    """Label-ranking average precision of one row; a tied label has the worst of its ranks."""
    shares = []
    for label in np.flatnonzero(truth):
        ahead = guess >= guess[label]
        shares.append(truth[ahead].sum() / ahead.sum())
    return float(np.mean(shares))


def _macro_f1(truth: np.ndarray, guess: np.ndarray) -> float:
    both = (truth * guess).sum(axis=0)
    total = truth.sum(axis=0) + guess.sum(axis=0)
    return float(np.mean(np.where(total > 0, 2 * both / np.maximum(total, 1), 0)))


def test_multilabel_counts_labels_that_only_scored_rows_have() -> None:
    texts, encoder = named(np.eye(10, dtype=np.float32))
    same = pl.DataFrame({"text": texts, "labels": [["a"], ["b"]] * 5})
    new = same.with_columns(pl.Series("labels", [["a"], ["c"]] * 5))
    by = {m.metric: m for m in multilabel(same, new, encoder.known(), draws=1)}
    assert by["f1"].n == 10
    assert by["f1"].score < 60  # "c" is never found
    with pytest.raises(DataError, match="4 training rows"):
        multilabel(same[:4], new, encoder.known())


def test_clustering_is_mini_batch_k_means_on_ten_samples() -> None:
    kinds = [i % 4 for i in range(60)]
    texts, encoder = named(clouds(kinds, noise=0.8))
    found = clustering(frame(texts, [f"l{k}" for k in kinds]), encoder.known())
    vectors = np.stack([encoder.vectors[text] for text in texts])
    generator = random.Random(SEED)
    values = []
    model = MiniBatchKMeans(4, batch_size=512, n_init=1, random_state=SEED)  # pyright: ignore[reportArgumentType] (stubs)
    for _ in range(10):
        chosen = generator.choices(range(60), k=60)
        values.append(v_measure_score(np.array(kinds)[chosen], model.fit_predict(vectors[chosen])))
    assert found.score == pytest.approx(100 * np.mean(values))
    assert found.se == pytest.approx(100 * np.std(values, ddof=1) / np.sqrt(10))
    perfect, known = named(np.eye(4, dtype=np.float32)[kinds])
    assert clustering(frame(perfect, [f"l{k}" for k in kinds]), known.known()).score == 100


def graded(scores: list[float], vectors: np.ndarray) -> tuple[pl.DataFrame, Given]:
    n = len(scores)
    texts, encoder = named(vectors)
    rows = pl.DataFrame({"text": texts[:n], "pair": texts[n:], "score": scores})
    return rows, encoder


def test_sts_is_spearman_of_cosines() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((60, 3)))
    cosines = (vectors[:30] * vectors[30:]).sum(axis=1)
    scores = np.round(2.5 + 2 * cosines + 0.7 * rng.standard_normal(30), 1)
    rows, encoder = graded(scores.tolist(), vectors)
    found = sts(rows, encoder.known())
    assert found.score == pytest.approx(100 * spearmanr(cosines, scores).statistic, abs=1e-4)  # pyright: ignore[reportAttributeAccessIssue] (stubs)
    # Fisher's transform gives about the same error as the resampling.
    rho = found.score / 100
    assert found.se == pytest.approx(100 * (1 - rho**2) / np.sqrt(27), rel=0.6)
    assert set(encoder.asked.values()) == {1}
    perfect, encoder = graded(cosines.tolist(), vectors)
    assert sts(perfect, encoder.known()).score == pytest.approx(100)


def test_sts_without_order() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((8, 3)))
    rows, encoder = graded([3.0] * 4, vectors)
    with pytest.raises(DataError, match=r"1 different score\(s\) in 4 graded rows"):
        sts(rows, encoder.known())
    rows, encoder = graded([1.0, 2.0, 3.0, 4.0], np.ones((8, 3)))
    found = sts(rows, encoder.known())
    assert (found.score, found.se) == (0.0, None)


def f1_of_neighbours(first: np.ndarray, second: np.ndarray) -> float:
    """Every row is a class: recall is whether it was found, precision how alone it was there."""
    guesses = np.argmax(first @ second.T, axis=1)
    chosen = Counter(int(g) for g in guesses)
    found = [2 / (1 + chosen[i]) if guess == i else 0.0 for i, guess in enumerate(guesses)]
    return 100 * float(np.mean(found))


def test_bitext_is_f1_of_nearest_neighbours(
    capfd: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    first = unit(rng.standard_normal((40, 6)))
    second = unit(first + 0.7 * unit(rng.standard_normal((40, 6))))
    texts, encoder = named(np.concatenate([first, second]))
    rows = pl.DataFrame({"text": texts[:40], "pair": texts[40:]})
    found = bitext(rows, encoder.known())
    assert found.score == pytest.approx(f1_of_neighbours(first, second))
    assert 30 < found.score < 100
    back = rows.select(pl.col("pair").alias("text"), pl.col("text").alias("pair"))
    assert bitext(back, encoder.known()).score == pytest.approx(f1_of_neighbours(second, first))
    assert capfd.readouterr() == ("", "")  # bars are Trine's own


def test_retrieval_is_recall_and_gain_of_ranked_documents() -> None:
    rng = np.random.default_rng(0)
    queries, documents = unit(rng.standard_normal((15, 5))), unit(rng.standard_normal((20, 5)))
    texts, encoder = named(np.concatenate([queries, documents]))
    pairs = [(i % 15, 15 + i) for i in range(20)]  # five queries have two right documents
    rows = pl.DataFrame(
        {"text": [texts[a] for a, _ in pairs], "pair": [texts[b] for _, b in pairs]}
    )
    rows = pl.concat([rows, rows[:2]])  # a repeated row changes nothing
    found = {m.metric: m for m in retrieval(rows, encoder.known())}
    cosines = queries @ documents.T
    relevant = np.zeros((15, 20))
    for a, b in pairs:
        relevant[a, b - 15] = 1
    order = np.argsort(-cosines, axis=1)
    for k in (1, 10):
        shares = [relevant[q, order[q, :k]].sum() / relevant[q].sum() for q in range(15)]
        # MTEB rounds to five places.
        assert found[f"recall@{k}"].score == pytest.approx(100 * np.mean(shares), abs=1e-3)
    gain = ndcg_score(relevant, cosines, k=10)
    assert found["ndcg@10"].score == pytest.approx(100 * gain, abs=1e-3)
    assert found["ndcg@10"].n == 15
    assert set(encoder.asked.values()) == {1}


def test_widths_are_cut_before_measuring() -> None:
    kinds = [i % 3 for i in range(60)]
    vectors = clouds(kinds, width=8, noise=1.0)
    texts, encoder = named(vectors)
    rows = frame(texts, [f"l{k}" for k in kinds])
    cut, small = named(unit(vectors[:, :3]))
    assert cut == texts
    wide = classification(rows[:30], rows[30:], encoder.known(3), draws=3)
    assert wide == classification(rows[:30], rows[30:], small.known(), draws=3)


def test_random_generators_of_the_process_are_left_alone() -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    texts, encoder = named(clouds([0, 1] * 12))
    rows = frame(texts, ["a", "b"] * 12)
    pairs = pl.DataFrame({"text": texts[:12], "pair": texts[12:], "score": list(range(12))})
    classification(rows, rows, encoder.known(), draws=1)
    clustering(rows, encoder.known())
    sts(pairs, encoder.known(), resamples=5)
    bitext(pairs, encoder.known())
    retrieval(pairs, encoder.known())
    after = random.random(), np.random.random(), float(torch.rand(1))  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    assert after == (random.random(), np.random.random(), float(torch.rand(1)))  # noqa: NPY002
