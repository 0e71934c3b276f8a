"""Losses against an obvious double loop, and against sentence-transformers where they coincide."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses as library
from sentence_transformers.sentence_transformer.losses.contrastive import SiameseDistanceMetric

from tests.embeddings.small_encoders import sentence, small_encoder
from trine.core.errors import UsageError
from trine.embeddings.config import Kind, LossName, TaskConfig, TrainingConfig
from trine.embeddings.losses import (
    TaskLoss,
    Teacher,
    loss_name,
    make_criterion,
    make_loss,
    similarity_divergence,
)
from trine.embeddings.losses.info_nce import contrast
from trine.embeddings.losses.packing import embed, length_pieces, pack
from trine.embeddings.losses.weights import weights_of

MIXED = [
    sentence(1, 2),
    sentence(3, 4, 5, 6, 7, 8, 9, 10, 11),
    sentence(5),
    sentence(7, 8, 9),
    sentence(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23),
    sentence(2, 2),
    sentence(30, 31, 32, 33, 34),
    sentence(12, 13, 14),
]
OTHER = [
    sentence(1, 2, 3),
    sentence(4, 5),
    sentence(5, 6, 7),
    sentence(30),
    sentence(9, 11, 13),
    sentence(2, 2, 8, 9, 10, 11, 12, 13),
    sentence(31, 32),
    sentence(14, 15, 16, 17, 18, 19),
]


def task(kind: Kind, **more: Any) -> TaskConfig:
    pair = "pair" if kind in ("pairs", "graded") else ""
    label: Any = ("a", "b") if kind == "hierarchical" else "label"
    score = "score" if kind == "graded" else ""
    return TaskConfig(
        name="t", source="t.csv", kind=kind, pair=pair, label=label, score=score, **more
    )


def unit(rows: int, width: int, seed: int) -> torch.Tensor:
    values = np.random.default_rng(seed).standard_normal((rows, width))
    return torch.nn.functional.normalize(torch.from_numpy(values), dim=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return small_encoder(tmp_path_factory.mktemp("model")).double()


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], tol: float) -> None:
    assert one.keys() == two.keys()
    assert max(float(g.abs().max()) for g in one.values()) > 1e-3
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=tol, atol=tol)


# --- double loops -------------------------------------------------------------------------------


def loop_weight(kind: Kind, a: list[int], b: list[int]) -> float:
    if kind in ("single", "pairs"):
        return float(a == b)
    if kind == "multi":
        one, two = {i for i, v in enumerate(a) if v}, {i for i, v in enumerate(b) if v}
        return len(one & two) / len(one | two) if one | two else 0.0
    shared = 0
    for x, y in zip(a, b, strict=True):
        if x != y or x < 0:
            break
        shared += 1
    longest = max(sum(x >= 0 for x in a), sum(y >= 0 for y in b))
    return shared / longest if longest else 0.0


def loop_contrast(
    anchors: np.ndarray,
    candidates: np.ndarray,
    weight: Any,
    temperature: float,
    mode: str,
    *,
    same: bool,
) -> float:
    """One anchor, one positive, one candidate at a time."""
    found = []
    n = len(anchors)
    for i in range(n):
        others = [j for j in range(n) if not (same and j == i)]
        cos = {j: math.exp(float(anchors[i] @ candidates[j]) / temperature) for j in others}
        positives = [j for j in others if weight(i, j) > 0]
        if not positives:
            continue
        if mode == "all":
            total = sum(weight(i, j) for j in positives)
            whole = sum(cos.values())
            found.append(-sum(weight(i, j) / total * math.log(cos[j] / whole) for j in positives))
            continue
        if same:
            heaviest = max(weight(i, j) for j in positives)
            best = [j for j in positives if weight(i, j) == heaviest]
            chosen = min(best, key=lambda j: (j - i - 1) % n)
        else:
            chosen = i
        rest = sum(cos[j] for j in others if weight(i, j) == 0)
        found.append(-math.log(cos[chosen] / (cos[chosen] + rest)))
    return sum(found) / len(found) if found else 0.0


NO_MODEL: Any = None  # criteria of labels need none

LABELS: dict[Kind, list[Any]] = {
    "single": [0, 1, 0, 2, 1, 0, 3, 2],
    "pairs": [0, 1, 0, 2, 3, 4, 5, 2],
    "multi": [[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0],
              [0, 1, 1]],
    "hierarchical": [[0, 0], [0, 1], [1, 2], [1, 2], [0, 0], [2, -1], [2, -1], [0, 1]],
}  # fmt: skip


@pytest.mark.parametrize("kind", list(LABELS))
def test_weights_of_labels_are_those_of_a_double_loop(kind: Kind) -> None:
    rows = [row if isinstance(row, list) else [row] for row in LABELS[kind]]
    weights = weights_of(kind)(torch.tensor(LABELS[kind]))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            assert float(weights[i, j]) == pytest.approx(loop_weight(kind, a, b), abs=1e-6)


def test_weights_by_hand() -> None:
    multi = weights_of("multi")(torch.tensor([[1, 1, 0], [0, 1, 1]]))
    assert float(multi[0, 1]) == pytest.approx(1 / 3)
    tree = weights_of("hierarchical")(torch.tensor([[4, 1, 7], [4, 1, 8], [5, 1, 7]]))
    assert float(tree[0, 1]) == pytest.approx(2 / 3)
    assert float(tree[0, 2]) == 0  # the same names under another root are other labels


@pytest.mark.parametrize("mode", ["all", "mask"])
@pytest.mark.parametrize("kind", list(LABELS))
def test_info_nce_is_the_double_loop(kind: Kind, mode: Any) -> None:
    rows = [row if isinstance(row, list) else [row] for row in LABELS[kind]]

    def weight(i: int, j: int) -> float:
        return float(np.float32(loop_weight(kind, rows[i], rows[j])))

    training = TrainingConfig(positives=mode, temperature=0.1)
    model: Any = None
    criterion = make_criterion("info_nce", model, task(kind), training)
    one, two = unit(8, 6, 1), unit(8, 6, 2)
    labels = torch.tensor(LABELS[kind])
    if kind == "pairs":
        ours = criterion([one, two], labels)
        a, b = one.numpy(), two.numpy()
        theirs = (
            loop_contrast(a, b, weight, 0.1, mode, same=False)
            + loop_contrast(b, a, weight, 0.1, mode, same=False)
        ) / 2
    else:
        ours = criterion([one], labels)
        theirs = loop_contrast(one.numpy(), one.numpy(), weight, 0.1, mode, same=True)
    assert float(ours) == pytest.approx(theirs, abs=1e-7)


@given(
    seed=st.integers(0, 10_000),
    labels=st.lists(st.integers(0, 3), min_size=2, max_size=9),
    mode=st.sampled_from(["all", "mask"]),
)
@settings(max_examples=40, deadline=None)
def test_info_nce_for_any_labels(seed: int, labels: list[int], mode: Any) -> None:
    texts = unit(len(labels), 4, seed).requires_grad_()
    criterion = make_criterion(
        "info_nce", NO_MODEL, task("single"), TrainingConfig(positives=mode, temperature=0.2)
    )
    loss = criterion([texts], torch.tensor(labels))
    loss.backward()
    values = texts.detach().numpy()
    expected = loop_contrast(
        values, values, lambda i, j: float(labels[i] == labels[j]), 0.2, mode, same=True
    )
    assert loss.item() == pytest.approx(expected, abs=1e-9)
    assert texts.grad is not None
    assert bool(torch.isfinite(texts.grad).all())


def test_masking_takes_the_false_negatives_out() -> None:
    # Four texts of one label at one point, one of another far off: nothing is left to push.
    texts = torch.tensor([[1.0, 0.0]] * 4 + [[-1.0, 0.0]])
    labels = torch.tensor([0, 0, 0, 0, 1])
    same = weights_of("single")(labels)
    others = ~torch.eye(5, dtype=torch.bool)
    masked = contrast(texts @ texts.T, same, temperature=0.05, positives="mask", valid=others)
    assert float(masked) == pytest.approx(0, abs=1e-6)
    every = contrast(texts @ texts.T, same, temperature=0.05, positives="all", valid=others)
    assert float(every) == pytest.approx(math.log(3), abs=1e-6)


@pytest.mark.parametrize("kind", ["single", "pairs", "multi", "hierarchical"])
@pytest.mark.parametrize("name", ["pair_bce", "pair_margin"])
def test_pair_losses_are_the_double_loop(kind: Kind, name: LossName) -> None:
    rows = [row if isinstance(row, list) else [row] for row in LABELS[kind]]
    training = TrainingConfig(temperature=0.2, margin=0.6)
    model: Any = None
    criterion = make_criterion(name, model, task(kind), training)
    columns = [unit(8, 5, 3), unit(8, 5, 4)][: 2 if kind == "pairs" else 1]
    ours = float(criterion(columns, torch.tensor(LABELS[kind])))
    first, second = columns[0].numpy(), columns[-1].numpy()
    related = unrelated = ones = zeros = 0.0
    for i in range(8):
        for j in range(8) if kind == "pairs" else range(i + 1, 8):
            y = loop_weight(kind, rows[i], rows[j])
            cos = float(first[i] @ second[j])
            if name == "pair_bce":
                p = 1 / (1 + math.exp(-(cos - 0.6) / 0.2))
                costs = -math.log(p), -math.log(1 - p)
            else:
                costs = (1 - cos) ** 2 / 2, max(0.0, 0.6 - (1 - cos)) ** 2 / 2
            related, unrelated = related + y * costs[0], unrelated + (1 - y) * costs[1]
            ones, zeros = ones + y, zeros + 1 - y
    assert ours == pytest.approx((related / ones + unrelated / zeros) / 2, abs=1e-7)


def test_divergence_is_the_double_loop_and_zero_for_the_base_itself() -> None:
    ours, base = unit(6, 4, 7), unit(6, 9, 8)
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        q = np.array([math.exp(float(ours[i] @ ours[j]) / 0.1) for j in others])
        p = np.array([math.exp(float(base[i] @ base[j]) / 0.1) for j in others])
        q, p = q / q.sum(), p / p.sum()
        total += float((p * np.log(p / q)).sum()) / 6
    assert float(similarity_divergence(ours, base, 0.1)) == pytest.approx(total, abs=1e-12)
    rotated = base @ torch.linalg.qr(torch.from_numpy(np.random.default_rng(1).random((9, 9))))[0]
    assert float(similarity_divergence(rotated, base, 0.1)) == pytest.approx(0, abs=1e-12)


# --- against the library ------------------------------------------------------------------------


def pair_features(model: Any) -> list[dict[str, Any]]:
    return [model.preprocess(MIXED), model.preprocess(OTHER)]


@pytest.mark.parametrize("mode", ["all", "mask"])
def test_pairs_of_distinct_groups_are_the_librarys_ranking_loss(model: Any, mode: Any) -> None:
    training = TrainingConfig(temperature=0.05, positives=mode)
    ours = make_loss("info_nce", model, task("pairs"), training)
    theirs = library.MultipleNegativesRankingLoss(
        model,
        scale=20.0,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
    labels = torch.arange(8)
    mine = ours(pair_features(model), labels)
    other = theirs(pair_features(model), labels)
    assert mine.item() == pytest.approx(other.item(), abs=1e-10)
    assert_same(gradients(model, mine), gradients(model, other), 1e-9)


def test_cached_pairs_are_the_librarys_cached_ranking_loss(model: Any) -> None:
    ours = make_loss("info_nce", model, task("pairs"), TrainingConfig(cache_rows=3))
    theirs = library.CachedMultipleNegativesRankingLoss(
        model,
        scale=20.0,
        mini_batch_size=3,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
    labels = torch.arange(8)
    mine, other = ours(pair_features(model), labels), theirs(pair_features(model), labels)
    assert mine.item() == pytest.approx(other.item(), abs=1e-10)
    assert_same(gradients(model, mine), gradients(model, other), 1e-9)


def test_graded_pairs_are_the_librarys_cosent(model: Any) -> None:
    labels = torch.tensor([0.1, 0.9, 0.5, 0.5, 0.0, 1.0, 0.3, 0.7], dtype=torch.float64)
    name = loss_name(task("graded"), TrainingConfig())
    mine = make_loss(name, model, task("graded"), TrainingConfig())(pair_features(model), labels)
    other = library.CoSENTLoss(model, scale=20.0)(pair_features(model), labels)
    assert mine.item() == pytest.approx(other.item(), abs=1e-9)
    assert_same(gradients(model, mine), gradients(model, other), 1e-9)


def test_cosent_is_the_double_loop(model: Any) -> None:
    scores = torch.tensor([0.1, 0.9, 0.5, 0.5], dtype=torch.float64)
    one, two = unit(4, 5, 1), unit(4, 5, 2)
    ours = make_criterion("cosent", model, task("graded"), TrainingConfig(temperature=0.1))
    cos = (one * two).sum(1)
    total = 1.0
    for i in range(4):
        for j in range(4):
            if scores[i] > scores[j]:
                total += math.exp(float(cos[j] - cos[i]) / 0.1)
    assert float(ours([one, two], scores)) == pytest.approx(math.log(total), abs=1e-10)


def test_margin_loss_is_the_librarys_contrastive_loss_on_as_many_of_each() -> None:
    class Given(torch.nn.Module):
        def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"sentence_embedding": features["vectors"]}

    # Two texts: of one label they are one related pair, of two labels one unrelated pair.
    model: Any = Given()
    theirs = library.ContrastiveLoss(
        model, distance_metric=SiameseDistanceMetric.COSINE_DISTANCE, margin=0.5
    )
    ours = make_criterion("pair_margin", model, task("single"), TrainingConfig(margin=0.5))
    for seed, labels in ((1, [0, 0]), (2, [0, 1])):
        texts = torch.nn.functional.normalize(unit(2, 3, seed) * 0.3 + 0.8, dim=1)
        features = [{"vectors": texts[:1]}, {"vectors": texts[1:]}]
        same = torch.tensor([int(labels[0] == labels[1])])
        expected = float(theirs(features, same))
        assert expected > 1e-4  # the case is not trivial
        # The library takes the mean over pairs, ours one half for each of the two labels.
        assert float(ours([texts], torch.tensor(labels))) == pytest.approx(expected / 2, abs=1e-9)


def test_widths_are_the_librarys_matryoshka_loss(model: Any) -> None:
    training = TrainingConfig(widths=(4,))
    ours = make_loss("info_nce", model, task("pairs"), training, dimension=8)
    assert ours.widths == (16, 8, 4)
    inner = library.MultipleNegativesRankingLoss(
        model,
        scale=20.0,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
    theirs = library.MatryoshkaLoss(model, inner, [16, 8, 4], [1 / 3] * 3)
    labels = torch.arange(8)
    mine, other = ours(pair_features(model), labels), theirs(pair_features(model), labels)
    assert mine.item() == pytest.approx(other.item(), abs=1e-10)
    assert_same(gradients(model, mine), gradients(model, other), 1e-9)


# --- forward in pieces --------------------------------------------------------------------------


def test_packed_forward_and_gradients_are_the_plain_ones(model: Any) -> None:
    features = model.preprocess(MIXED)
    packed = pack([features])
    assert packed is not None
    pieces = length_pieces(packed.lengths.numpy(), 1)
    assert len(pieces) > 3
    (vectors,) = packed.restore(embed(model, packed, cost=1))
    plain = model(model.preprocess(MIXED))["sentence_embedding"]
    torch.testing.assert_close(vectors, plain, rtol=1e-9, atol=1e-10)
    mark = unit(8, 16, 5)
    one = gradients(model, (vectors * mark).sum())
    two = gradients(model, (plain * mark).sum())
    assert_same(one, two, 1e-9)


def test_two_columns_come_back_in_their_order(model: Any) -> None:
    packed = pack(pair_features(model))
    assert packed is not None
    one, two = packed.restore(embed(model, packed, cost=4))
    torch.testing.assert_close(one, model(model.preprocess(MIXED))["sentence_embedding"])
    torch.testing.assert_close(two, model(model.preprocess(OTHER))["sentence_embedding"])


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=9), cost=st.integers(0, 20)
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_pieces_are_the_cheapest_of_all_cuts(lengths: list[int], cost: int) -> None:
    lengths = sorted(lengths)
    n = len(lengths)

    def price(pieces: list[tuple[int, int]]) -> int:
        return sum((end - begin) * lengths[end - 1] + cost for begin, end in pieces)

    best = math.inf
    for cuts in range(1 << (n - 1)):
        bounds = [0, *(i + 1 for i in range(n - 1) if cuts >> i & 1), n]
        best = min(best, price(list(itertools.pairwise(bounds))))
    found = length_pieces(np.array(lengths), cost)
    assert [i for begin, end in found for i in range(begin, end)] == list(range(n))
    assert price(found) == best


@pytest.mark.parametrize("kind", ["single", "multi", "pairs", "graded"])
def test_gradient_caching_changes_nothing(model: Any, kind: Kind) -> None:
    if kind == "graded":
        labels = torch.linspace(0, 1, 8, dtype=torch.float64)
    else:
        labels = torch.tensor(LABELS[kind])
    teacher = Teacher(model)

    def make(rows: int) -> TaskLoss:
        training = TrainingConfig(cache_rows=rows, widths=(4,), distillation=0.7)
        config = task(kind, weight=0.5)
        loss = make_loss(
            loss_name(config, training), model, config, training, dimension=8, teacher=teacher,
            task_head=True,
        )  # fmt: skip
        return loss.double()

    def features() -> list[dict[str, Any]]:
        return pair_features(model)[: 2 if kind in ("pairs", "graded") else 1]

    plain, cached = make(0), make(3)
    assert not plain.uses_gradient_cache
    one, two = plain(features(), labels), cached(features(), labels)
    assert one.item() == pytest.approx(two.item(), abs=1e-10)
    assert_same(gradients(model, one), gradients(model, two), 1e-9)
    heads = plain.task_head, cached.task_head
    assert isinstance(heads[0], torch.nn.Linear)
    assert isinstance(heads[1], torch.nn.Linear)
    torch.testing.assert_close(heads[0].weight.grad, heads[1].weight.grad)


def test_gradient_caching_with_dropout_replays_the_masks(tmp_path: Path) -> None:
    # Each piece draws other masks than the whole batch would; what must hold is that the second
    # pass draws those of the first: the same seed then gives the same gradients twice.
    model = small_encoder(tmp_path, dropout=0.2).double().train()
    loss = make_loss("info_nce", model, task("single"), TrainingConfig(cache_rows=3))
    labels = torch.tensor(LABELS["single"])

    def once() -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        return gradients(model, loss([model.preprocess(MIXED)], labels))

    assert_same(once(), once(), 1e-12)


# --- the parts of a task's loss -----------------------------------------------------------------


@pytest.mark.parametrize(("recipes", "own"), [(0.3, None), (5.0, 0.3)], ids=["recipe", "own"])
def test_weight_and_distillation_add_up(model: Any, recipes: float, own: float | None) -> None:
    labels = torch.tensor(LABELS["single"])
    training = TrainingConfig(distillation=recipes)
    teacher = Teacher(model)
    config = task("single", weight=2.0, distillation=own)
    whole = make_loss("info_nce", model, config, training, teacher=teacher)
    plain = make_loss("info_nce", model, task("single"), TrainingConfig())
    with torch.no_grad():
        model[3].linear.weight.mul_(torch.linspace(0.2, 2, 16, dtype=torch.float64)[:, None])
    try:
        value = whole([model.preprocess(MIXED)], labels).item()
        alone = plain([model.preprocess(MIXED)], labels).item()
    finally:
        with torch.no_grad():
            model[3].linear.weight.div_(torch.linspace(0.2, 2, 16, dtype=torch.float64)[:, None])
    assert whole.parts["loss"] == pytest.approx(alone)
    assert whole.parts["distillation"] > 1e-4
    expected = 2 * (alone + 0.3 * whole.parts["distillation"])
    assert value == pytest.approx(expected, abs=1e-9)


def test_the_teacher_is_the_encoder_without_head_and_embeds_a_text_once(tmp_path: Path) -> None:
    model: Any = small_encoder(tmp_path)
    for parameter in model[0].model.embeddings.parameters():
        parameter.requires_grad_(False)
    teacher = Teacher(model)
    packed = pack(pair_features(model))
    assert packed is not None
    before = teacher.embed(packed)
    assert not before.requires_grad
    assert len(teacher) == len({*MIXED, *OTHER})
    alone = SentenceTransformer(modules=list(model)[:3], device="cpu")
    expected = torch.from_numpy(alone.encode([*MIXED, *OTHER]))[packed.order]
    torch.testing.assert_close(before, expected, rtol=1e-3, atol=1e-4)  # half precision
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    torch.testing.assert_close(teacher.embed(packed), before)
    other = Teacher(model)
    other.load(teacher.state())
    assert torch.equal(other.embed(packed), before)
    teacher._known.clear()  # the copy itself did not change either
    torch.testing.assert_close(teacher.embed(packed), before, rtol=1e-3, atol=1e-4)
    frozen = next(model[0].model.embeddings.parameters())
    base: Any = teacher._base
    copy = next(base[0].model.embeddings.parameters())
    assert copy.data_ptr() == frozen.data_ptr()


def test_a_task_head_starts_as_the_cut_and_learns_apart(model: Any) -> None:
    loss = make_loss(
        "info_nce", model, task("single"), TrainingConfig(), dimension=8, task_head=True
    ).double()
    labels = torch.tensor(LABELS["single"])
    value = loss([model.preprocess(MIXED)], labels)
    cut = make_loss("info_nce", model, task("single"), TrainingConfig(), dimension=8)
    cut.widths = (8,)
    at_eight = cut([model.preprocess(MIXED)], labels).item()
    assert loss.parts["head"] == pytest.approx(at_eight, abs=1e-9)
    value.backward()
    assert isinstance(loss.task_head, torch.nn.Linear)
    assert loss.task_head.weight.grad is not None


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_labels_may_speak_through_the_task_head_alone(model: Any, shared: float) -> None:
    training = TrainingConfig(shared_loss=shared)
    loss = make_loss(
        "info_nce", model, task("single"), training, dimension=8, task_head=True
    ).double()
    value = loss([model.preprocess(MIXED)], torch.tensor(LABELS["single"])).item()
    assert value == pytest.approx(shared * loss.parts["loss"] + loss.parts["head"], abs=1e-6)
    # Without a head of its own there is nothing else to speak through.
    plain = make_loss("info_nce", model, task("single"), training, dimension=8)
    value = plain([model.preprocess(MIXED)], torch.tensor(LABELS["single"])).item()
    assert value == pytest.approx(plain.parts["loss"], abs=1e-6)


def test_token_counts(model: Any) -> None:
    loss = make_loss("info_nce", model, task("single"), TrainingConfig())
    loss([model.preprocess(MIXED)], torch.tensor(LABELS["single"]))
    lengths = [len(text.split()) + 2 for text in MIXED]
    assert loss.tokens == (sum(lengths), max(lengths) * len(lengths))


def test_what_does_not_fit_is_said(model: Any) -> None:
    with pytest.raises(UsageError, match="width 50; accepted: 1 to 16"):
        make_loss("info_nce", model, task("single"), TrainingConfig(), dimension=50)
    with pytest.raises(UsageError, match="cosent for graded"):
        make_loss("info_nce", model, task("graded"), TrainingConfig())
    wrong: Any = "info_nec"
    with pytest.raises(UsageError, match="did you mean 'info_nce'"):
        make_loss(wrong, model, task("single"), TrainingConfig())
