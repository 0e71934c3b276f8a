"""CIFAR-10 from small files in both layouts, and what is said about files that are not right."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from trine.core.errors import DataError, UsageError
from trine.dynamics import cifar
from trine.dynamics.cifar import Batches, Cifar10, crop_and_flip, load_cifar10, normalise

TRAIN, TEST = 30, 20


def pixels(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    images = generator.integers(256, size=(count, 32, 32, 3), dtype=np.uint8)
    return images, (np.arange(count) % 10).astype(np.uint8)


def pack(images: np.ndarray) -> np.ndarray:
    """The packed form, written from its description: G, R - G, B - G, differenced twice."""
    planes = np.stack(
        [images[..., 0] - images[..., 1], images[..., 1], images[..., 2] - images[..., 1]]
    )  # [3, N, 32, 32]
    rows = np.diff(planes, axis=2, prepend=np.zeros_like(planes[:, :, :1]))
    return np.diff(rows, axis=3, prepend=np.zeros_like(rows[:, :, :, :1]))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "cifar10"
    folder.mkdir(parents=True)
    for name, count, seed in (("train", TRAIN, 0), ("test", TEST, 1)):
        images, labels = pixels(count, seed)
        np.savez_compressed(folder / f"cifar10_{name}.npz", residual=pack(images), labels=labels)
    return folder


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    folder = tmp_path / "official" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    images, labels = pixels(TRAIN, 0)
    for n in range(5):
        part = slice(n * TRAIN // 5, (n + 1) * TRAIN // 5)
        write_batch(folder / f"data_batch_{n + 1}.bin", images[part], labels[part])
    write_batch(folder / "test_batch.bin", *pixels(TEST, 1))
    return folder


def write_batch(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """The official form: a label byte, then 1024 red, 1024 green, 1024 blue bytes, row by row."""
    records = [
        bytes([label]) + b"".join(image[:, :, c].tobytes() for c in range(3))
        for image, label in zip(images, labels, strict=True)
    ]
    path.write_bytes(b"".join(records))


def same(data: Cifar10) -> None:
    images, labels = pixels(TRAIN, 0)
    assert np.array_equal(data.train_images, images)
    assert np.array_equal(data.train_labels, labels)
    assert np.array_equal(data.test_images, pixels(TEST, 1)[0])
    assert data.train_labels.dtype == np.int64
    assert data.class_names[9] == "truck"


def test_both_layouts_give_the_same_pixels(packed: Path, binary: Path, tmp_path: Path) -> None:
    for root in (packed, packed.parent, binary, binary.parent):
        same(load_cifar10(root, cache=tmp_path / "cache", verify=False))


def test_decoded_once_and_memory_mapped(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_cifar10(packed, cache=tmp_path / "cache", verify=False)
    assert isinstance(first.train_images, np.memmap)
    assert not first.train_images.flags.writeable
    monkeypatch.setattr(cifar, "_decode", None)  # would raise if it were called again
    same(load_cifar10(packed, cache=tmp_path / "cache", verify=False))


def test_other_files_at_the_same_place_are_decoded_again(packed: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load_cifar10(packed, cache=cache, verify=False)
    images, labels = pixels(TRAIN + 1, 5)
    np.savez_compressed(packed / "cifar10_train.npz", residual=pack(images), labels=labels)
    again = load_cifar10(packed, cache=cache, verify=False)
    assert np.array_equal(again.train_images, images)


def test_where_it_looks_without_being_told(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRINE_DATA", str(packed.parent))
    monkeypatch.setenv("TRINE_CACHE", str(tmp_path / "elsewhere"))
    same(load_cifar10(verify=False))
    assert len(list((tmp_path / "elsewhere" / "cifar10").iterdir())) == 4


@pytest.mark.parametrize("setting", [None, "nowhere"])
def test_a_missing_folder_says_how_to_get_it(
    setting: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if setting is None:
        monkeypatch.delenv("TRINE_DATA", raising=False)
    else:
        monkeypatch.setenv("TRINE_DATA", str(tmp_path / setting))
    expected = r"cifar-10-binary\.tar\.gz.*cifar10_train\.npz.*everything else works without it"
    with pytest.raises(DataError, match=expected) as error:
        load_cifar10()
    assert "\n" not in str(error.value)


def test_the_pickled_layout_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"never looked at")
    for root in (folder, tmp_path):
        with pytest.raises(DataError, match=r"python version.*pickles.*accepted: the binary"):
            load_cifar10(root)


def test_a_truncated_packed_file(packed: Path, tmp_path: Path) -> None:
    path = packed / "cifar10_train.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"truncated or not a packed.*copy the file again"):
        load_cifar10(packed, cache=tmp_path / "cache", verify=False)
    assert not list((tmp_path / "cache").rglob("train*"))


def test_a_changed_byte_in_a_packed_file(packed: Path, tmp_path: Path) -> None:
    path = packed / "cifar10_train.npz"
    damaged = bytearray(path.read_bytes())
    damaged[5000] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="truncated or not a packed CIFAR-10 file"):
        load_cifar10(packed, cache=tmp_path / "cache", verify=False)


def test_other_pixels_than_those_of_cifar(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"has 30 train images; accepted: 50000"):
        load_cifar10(packed, cache=tmp_path / "cache")
    monkeypatch.setattr(cifar, "SIZES", {"train": TRAIN, "test": TEST})
    with pytest.raises(DataError, match="other pixels or labels than CIFAR-10 has"):
        load_cifar10(packed, cache=tmp_path / "cache")


def test_a_truncated_binary_batch(binary: Path, tmp_path: Path) -> None:
    path = binary / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_3\.bin has 18,437 bytes: truncated"):
        load_cifar10(binary, cache=tmp_path / "cache", verify=False)
    # With the check on, a whole but short batch is refused too.
    with pytest.raises(DataError, match=r"data_batch_1\.bin.*accepted: 30,730,000 bytes"):
        load_cifar10(binary, cache=tmp_path / "cache")


def test_a_missing_binary_batch(binary: Path, tmp_path: Path) -> None:
    (binary / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_4\.bin"):
        load_cifar10(binary, cache=tmp_path / "cache", verify=False)


def test_a_wrong_label(binary: Path, tmp_path: Path) -> None:
    write_batch(binary / "test_batch.bin", pixels(1, 0)[0], np.array([10]))
    with pytest.raises(DataError, match=r"has the label 10; accepted: 0 to 9"):
        load_cifar10(binary, cache=tmp_path / "cache", verify=False)


def test_unknown_pixels_in_the_official_layout_are_told_not_refused(
    binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cifar, "SIZES", {"train": TRAIN, "test": TEST})
    monkeypatch.setattr(cifar, "_BATCH", TRAIN // 5)
    digest = cifar.content_sha256(*pixels(TRAIN, 0))
    monkeypatch.setattr(cifar, "CONTENT_SHA256", {"train": digest, "test": "another"})
    images, labels = pixels(TRAIN // 5, 1)
    write_batch(binary / "test_batch.bin", images, labels)
    monkeypatch.setattr(cifar, "SIZES", {"train": TRAIN, "test": TRAIN // 5})
    with caplog.at_level(logging.WARNING):
        load_cifar10(binary, cache=tmp_path / "cache")
    assert [r.getMessage().count("the test pixels differ") for r in caplog.records] == [1]


def test_a_broken_cache(packed: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load_cifar10(packed, cache=cache, verify=False)
    (path,) = cache.rglob("train*images.npy")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"cached pixels.*delete that directory"):
        load_cifar10(packed, cache=cache, verify=False)


def test_content_digest_knows_no_order() -> None:
    images, labels = pixels(20, 3)
    order = np.random.default_rng(0).permutation(20)
    digest = cifar.content_sha256(images, labels)
    assert digest == cifar.content_sha256(images[order], labels[order])
    assert digest != cifar.content_sha256(images, labels[order])


def test_normalisation_by_channel() -> None:
    planes = np.broadcast_to(np.array([125, 123, 114], np.uint8)[:, None, None], (2, 3, 32, 32))
    assert normalise(planes).dtype == np.float32
    expected = [(125 / 255 - 0.4914) / 0.2023, (123 / 255 - 0.4822) / 0.1994,
                (114 / 255 - 0.4465) / 0.2010]  # fmt: skip
    assert np.allclose(normalise(planes)[0, :, 5, 5], expected, atol=1e-6)


def test_crop_and_flip_only_moves_and_mirrors() -> None:
    images, _ = pixels(64, 4)
    made = crop_and_flip(images, np.random.default_rng(0))
    assert made.shape == (64, 3, 32, 32)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    mirrored = 0
    offsets = set[tuple[int, int]]()
    for image, big in zip(made, padded, strict=True):
        fits = [
            (dy, dx, flip)
            for dy in range(9)
            for dx in range(9)
            for flip in (False, True)
            if np.array_equal(
                image.transpose(1, 2, 0)[:, :: -1 if flip else 1], big[dy : dy + 32, dx : dx + 32]
            )
        ]
        assert len(fits) == 1
        offsets.add(fits[0][:2])
        mirrored += fits[0][2]
    assert 20 <= mirrored <= 44  # 32 expected, standard deviation 4
    assert len(offsets) > 30
    assert {dy for dy, _ in offsets} == set(range(9))


def test_batches_give_every_image_once() -> None:
    images, labels = pixels(50, 6)
    batches = Batches(images, labels.astype(np.int64), 16, augment=False)
    drawn = list(batches.epoch(np.random.default_rng(0)))
    assert batches.per_epoch == len(drawn) == 3
    assert all(x.shape == (16, 3, 32, 32) and x.dtype == np.float32 for x, _ in drawn)
    table = {normalise(i.transpose(2, 0, 1)).tobytes(): n for n, i in enumerate(images)}
    numbers = [table[np.ascontiguousarray(x).tobytes()] for batch, _ in drawn for x in batch]
    assert len(set(numbers)) == 48
    assert np.array_equal(np.concatenate([y for _, y in drawn]), labels[numbers])
    in_order = list(batches.in_order())
    assert [len(y) for _, y in in_order] == [16, 16, 16, 2]
    assert np.array_equal(np.concatenate([y for _, y in in_order]), labels)
    with pytest.raises(UsageError, match="batch size 51; accepted: 1 to 50"):
        Batches(images, labels.astype(np.int64), 51)


@pytest.mark.data
def test_the_real_images() -> None:
    """Statistics of the README beside the arrays; digests are checked by the reader itself."""
    if not (Path(os.environ.get("TRINE_DATA", "")) / "cifar10" / "cifar10_train.npz").is_file():
        pytest.skip("$TRINE_DATA/cifar10 is not here")
    data = load_cifar10()
    images = data.train_images.reshape(-1, 3)[::7]  # every seventh pixel is enough
    assert np.allclose(images.mean(axis=0) / 255, [0.49140, 0.48216, 0.44653], atol=2e-4)
    assert np.allclose(images.std(axis=0) / 255, [0.24703, 0.24349, 0.26159], atol=2e-4)
    assert np.array_equal(np.bincount(data.test_labels), [1000] * 10)
    assert np.array_equal(data.train_labels[:20], np.arange(20) % 10)
    assert cifar.content_sha256(data.test_images, data.test_labels) == cifar.CONTENT_SHA256["test"]
