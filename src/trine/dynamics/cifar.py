"""CIFAR-10 (Krizhevsky 2009) as memory-mapped pixels, from either of two pickle-free layouts.

* **packed**: `cifar10_train.npz` and `cifar10_test.npz`. `residual`, uint8 `(3, N, 32, 32)`, holds
  G, R - G and B - G, each differenced along rows and columns modulo 256, so that zip packs them
  well; `labels`, uint8 `(N,)`; `class_names`. Digests of the decoded pixels are checked.
* **binary**: the official "binary version": `data_batch_1.bin` to `data_batch_5.bin` and
  `test_batch.bin`, each 10,000 records of one label byte and 3072 pixel bytes, planes R, G, B.

The official "python version" is made of pickles, which can run code when they are read: refused.

Pixels are decoded once, to `.npy` files in a cache directory, and memory-mapped from there, so that
several processes share one copy. Numpy only; `torch.from_numpy` takes what `Batches` gives.

Letters: `N` images, `B` images of a batch.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trine.core.artifacts import atomic_path
from trine.core.errors import DataError, UsageError

__all__ = [
    "CHANNEL_MEAN",
    "CHANNEL_STD",
    "CLASS_NAMES",
    "Batches",
    "Cifar10",
    "crop_and_flip",
    "load_cifar10",
    "normalise",
]

_logger = logging.getLogger(__name__)

Split = Literal["train", "test"]
Pixels = NDArray[np.uint8]

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

CHANNEL_MEAN = (0.4914, 0.4822, 0.4465)
"""Mean of R, G, B over the training pixels, in units of the full range."""

CHANNEL_STD = (0.2023, 0.1994, 0.2010)
"""What many programs, the authors' too, divide by: the mean over images of the deviation *within*
an image. The deviation over all training pixels is .2470, .2435, .2616."""

SIDE = 32
_RECORD = 1 + 3 * SIDE * SIDE
_BATCH = 10_000

SIZES: Mapping[Split, int] = MappingProxyType({"train": 50_000, "test": 10_000})
PIXEL_SHA256: Mapping[Split, str] = MappingProxyType(
    {
        "train": "ee55ffafe445fd46c38fac142c3971602db24724f330f49ee73645a3dd529b5d",
        "test": "1f9e71c337f27c38452dc063bbdf05164772d7358edf779cd7c015dac77aeead",
    }
)
LABEL_SHA256: Mapping[Split, str] = MappingProxyType(
    {
        "train": "741d364c93cfbab39cefe8aa0d712b9b29a59bdc0e1b6c1785f8a6a295dfc91e",
        "test": "f24756e9fc27107597cd054b9df7247b4e5ab61780d1e5d55e7b1015307573de",
    }
)
CONTENT_SHA256: Mapping[Split, str] = MappingProxyType(
    {
        "train": "d59acf989e068e709ce686cda292672c7b212c08d29d3d3e6d8c3aa99eba6a85",
        "test": "899683d46c3a8c66fd56e1af12202e69fe5a4517be10b0f68e04c78fe585c57c",
    }
)
"""SHA-256 of the sorted SHA-256 digests of all (label, pixels) pairs: the same in any order."""

_PACKED: Mapping[Split, str] = MappingProxyType(
    {"train": "cifar10_train.npz", "test": "cifar10_test.npz"}
)
_BINARY: Mapping[Split, tuple[str, ...]] = MappingProxyType(
    {
        "train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
        "test": ("test_batch.bin",),
    }
)
_HOW = (
    "unpack the official cifar-10-binary.tar.gz (the 'binary version', 162 MB, from the home page "
    "of CIFAR-10) there or put cifar10_train.npz and cifar10_test.npz there, or name another place "
    "with TRINE_DATA (the directory that holds cifar10/); everything else works without it"
)


@dataclass(frozen=True, slots=True)
class Cifar10:
    """The data set; pixels are memory-mapped and read only.

    Attributes:
      train_images: `[50000, 32, 32, 3]` uint8, RGB.
      train_labels: `[50000]` int64, 0 to 9.
      test_images: `[10000, 32, 32, 3]` uint8.
      test_labels: `[10000]` int64.
      class_names: ten names, in the order of the labels.
    """

    train_images: Pixels
    train_labels: NDArray[np.int64]
    test_images: Pixels
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]


def load_cifar10(
    root: Path | None = None, *, cache: Path | None = None, verify: bool = True
) -> Cifar10:
    """CIFAR-10 from a directory that holds one of the two layouts.

    The order of the images is that of the files: the packed arrays are balanced (image `i` has
    class `i % 10`), the binary version has the official order.

    Args:
      root: the directory, or one above `cifar10/` or `cifar-10-batches-bin/`; by default
        `$TRINE_DATA/cifar10`.
      cache: where decoded pixels are kept; by default `$TRINE_CACHE`, else `~/.cache/trine`.
      verify: whether it must be the whole of CIFAR-10, digests included. Without, any number of
        images in the right layout is taken, e.g. a subset that you made.

    Raises:
      DataError: nothing there, a python-pickle layout, a truncated file, or another digest.
    """
    where = _find(root)
    directory = cache or _default_cache()
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        images, labels = _cached(where, split, directory, verify)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, labels
    return Cifar10(**arrays, class_names=CLASS_NAMES)


def _default_cache() -> Path:
    return Path(os.environ.get("TRINE_CACHE") or Path.home() / ".cache" / "trine")


def _find(root: Path | None) -> Path:
    if root is None:
        data = os.environ.get("TRINE_DATA")
        if not data:
            raise DataError("CIFAR-10 is not at hand: TRINE_DATA is not set", hint=_HOW)
        root = Path(data) / "cifar10"
    names = {*_PACKED.values(), *_BINARY["train"], *_BINARY["test"]}
    places = [root, root / "cifar10", root / "cifar-10-batches-bin"]
    for place in places:
        if any((place / name).is_file() for name in names):
            return place
    for place in [*places, root / "cifar-10-batches-py"]:
        if (place / "data_batch_1").is_file():
            raise DataError(
                f"{place} holds the python version of CIFAR-10, which is made of pickles; these "
                "can run code and are not read",
                accepted="the binary version (data_batch_1.bin ...) or the packed arrays",
                hint=_HOW,
            )
    raise DataError(f"no CIFAR-10 in {root}", hint=_HOW)


def _sources(where: Path, split: Split) -> list[Path]:
    packed = where / _PACKED[split]
    files = [packed] if packed.is_file() else [where / name for name in _BINARY[split]]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise DataError(
            f"{where} lacks {', '.join(missing)}",
            accepted=f"{_PACKED[split]}, or {' '.join(_BINARY[split])}",
            hint=_HOW,
        )
    return files


def _cached(
    where: Path, split: Split, cache: Path, verify: bool
) -> tuple[Pixels, NDArray[np.int64]]:
    """Memory-mapped pixels and labels, decoded first if these very files have not been before."""
    files = _sources(where, split)
    facts = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    key = hashlib.sha256(repr((facts, verify)).encode()).hexdigest()[:16]
    paths = [cache / "cifar10" / f"{split}-{key}-{part}.npy" for part in ("images", "labels")]
    if not all(path.is_file() for path in paths):
        _logger.info("decoding CIFAR-10 (%s) to %s, this once", split, paths[0])
        images, labels = _decode(files, split, verify)
        for path, array in zip(paths, (images, labels), strict=True):
            with atomic_path(path) as temporary:
                np.save(temporary, array, allow_pickle=False)
    try:
        images = np.load(paths[0], mmap_mode="r", allow_pickle=False)
        labels = np.load(paths[1], allow_pickle=False).astype(np.int64)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"the cached pixels in {paths[0].parent} are broken ({error})",
            hint="delete that directory and run the same command again",
        ) from error
    return images, labels


def _decode(files: list[Path], split: Split, verify: bool) -> tuple[Pixels, Pixels]:
    packed = files[0].suffix == ".npz"
    images, labels = _read_packed(files[0]) if packed else _read_binary(files, verify)
    place = files[0] if packed else files[0].parent
    if not np.all(labels < len(CLASS_NAMES)):
        raise DataError(f"{place} has the label {labels.max()}", accepted="0 to 9", hint=_HOW)
    if verify and len(labels) != SIZES[split]:
        raise DataError(
            f"{place} has {len(labels)} {split} images", accepted=str(SIZES[split]), hint=_HOW
        )
    if verify and packed:
        found = (_sha256(images), _sha256(labels))
        if found != (PIXEL_SHA256[split], LABEL_SHA256[split]):
            raise DataError(
                f"{place} decodes to other pixels or labels than CIFAR-10 has (sha256 "
                f"{found[0][:12]} and {found[1][:12]})",
                hint="copy the file again",
            )
    if verify and not packed and content_sha256(images, labels) != CONTENT_SHA256[split]:
        # Sizes and labels are right. Our digest comes from the packed copy, and that is no reason
        # to refuse what may be the original.
        _logger.warning(
            "%s: the %s pixels differ from the copy of CIFAR-10 that Trine was tested with; if "
            "that surprises you, unpack the archive again",
            place,
            split,
        )
    return images, labels


def _read_packed(path: Path) -> tuple[Pixels, Pixels]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            residual, labels = arrays["residual"], arrays["labels"]
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
        raise DataError(
            f"{path} is truncated or not a packed CIFAR-10 file ({error})",
            accepted="an .npz with the arrays residual, labels, class_names",
            hint="copy the file again",
        ) from error
    shape = (3, len(labels), SIDE, SIDE)
    if residual.dtype != np.uint8 or residual.shape != shape or labels.dtype != np.uint8:
        raise DataError(
            f"{path}: residual is {residual.dtype} {residual.shape} and labels are {labels.dtype}",
            accepted="uint8 (3, N, 32, 32) and uint8 (N,)",
        )
    # Sums modulo 256 undo the differences; uint8 wraps around, which is intended.
    planes = np.cumsum(np.cumsum(residual, axis=2, dtype=np.uint8), axis=3, dtype=np.uint8)
    images = np.ascontiguousarray(planes.transpose(1, 2, 3, 0))  # [N, 32, 32, 3]: R - G, G, B - G
    images[..., 0] += images[..., 1]
    images[..., 2] += images[..., 1]
    return images, labels


def _read_binary(files: list[Path], verify: bool) -> tuple[Pixels, Pixels]:
    records: list[Pixels] = []
    for file in files:
        data = np.fromfile(file, dtype=np.uint8)
        wrong = len(data) != _BATCH * _RECORD if verify else len(data) % _RECORD or not len(data)
        if wrong:
            raise DataError(
                f"{file} has {len(data):,} bytes: truncated, or not a CIFAR-10 batch",
                accepted=f"{_BATCH * _RECORD:,} bytes ({_BATCH:,} records of {_RECORD})",
                hint="unpack the archive again",
            )
        records.append(data.reshape(-1, _RECORD))
    table = np.concatenate(records)
    planes = table[:, 1:].reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), table[:, 0].copy()


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def content_sha256(images: Pixels, labels: NDArray[Any]) -> str:
    """A digest of `[N, 32, 32, 3]` images with their labels that does not depend on their order."""
    pairs = zip(labels.astype(np.uint8), images, strict=True)
    each = sorted(
        hashlib.sha256(bytes([label]) + image.tobytes()).digest() for label, image in pairs
    )
    return hashlib.sha256(b"".join(each)).hexdigest()


def normalise(images: Pixels) -> NDArray[np.float32]:
    """Pixels `[..., 3, 32, 32]`, 0 to 255, to zero mean and about unit deviation per channel."""
    mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (CHANNEL_MEAN, CHANNEL_STD))
    scaled = images.astype(np.float32)
    scaled -= 255 * mean
    scaled /= 255 * std
    return scaled


def crop_and_flip(images: Pixels, generator: np.random.Generator, *, pad: int = 4) -> Pixels:
    """A random crop of each zero-padded image, mirrored with probability 1/2.

    Args:
      images: `[B, 32, 32, 3]`.
      generator: draws offsets and mirrorings.
      pad: zeros on each side.

    Returns:
      `[B, 3, 32, 32]` uint8, channels first.
    """
    count, side = len(images), images.shape[1]
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    rows, columns = generator.integers(2 * pad + 1, size=(2, count))
    crops = windows[np.arange(count), rows, columns]  # [B, 3, 32, 32], a copy
    mirrored = generator.random(count) < 0.5
    crops[mirrored] = crops[mirrored, :, :, ::-1]
    return crops


@dataclass(frozen=True, slots=True)
class Batches:
    """Normalised batches of images; iterate `epoch` for training, `in_order` for evaluation.

    Attributes:
      images: `[N, 32, 32, 3]` uint8.
      labels: `[N]`.
      size: images of a batch; the last batch of `in_order` may be smaller.
      augment: whether `epoch` crops and mirrors (`crop_and_flip`).
    """

    images: Pixels
    labels: NDArray[np.int64]
    size: int = 128
    augment: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.size <= len(self.images):
            raise UsageError(f"batch size {self.size}", accepted=f"1 to {len(self.images)}")

    @property
    def per_epoch(self) -> int:
        """Full batches of an epoch; the few images left over are others in each epoch."""
        return len(self.images) // self.size

    def epoch(
        self, generator: np.random.Generator
    ) -> Generator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Full batches in random order: float32 `[B, 3, 32, 32]` and int64 `[B]`."""
        order = generator.permutation(len(self.images))
        for start in range(0, self.per_epoch * self.size, self.size):
            chosen = np.sort(order[start : start + self.size])  # reads the file forward
            pixels = self.images[chosen]
            if self.augment:
                planes = crop_and_flip(pixels, generator)
            else:
                planes = pixels.transpose(0, 3, 1, 2)
            yield normalise(planes), self.labels[chosen]

    def in_order(self) -> Generator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """All images once, as they are, in their own order."""
        for start in range(0, len(self.images), self.size):
            pixels = np.asarray(self.images[start : start + self.size])
            yield normalise(pixels.transpose(0, 3, 1, 2)), self.labels[start : start + self.size]
