"""Random deals with their tables, made on all cores, into a file that can be gone on with.

Block `b` of a file is drawn from the seed's generator `("deals", b)` and from nothing else, so the
same seed gives the same deals whatever was interrupted, however many processes worked, and whether
the file grew later.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trine.bridge.deals import pack_deals, random_owner
from trine.bridge.deals_file import DealsFile, Header
from trine.bridge.double_dummy import BATCH, solve_tables
from trine.bridge.symmetry import PARTS, in_part
from trine.core.errors import Interrupted, UsageError
from trine.core.executors import Executor
from trine.core.extras import require
from trine.core.progress import Progress
from trine.core.seeding import Seeds

__all__ = ["Generated", "Pace", "block_owner", "fill_blocks", "generate_deals"]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Generated:
    """What a generation did.

    Attributes:
      path: the file.
      deals: whole deals in it now.
      solved: of these, made by this call.
      seconds: wall time of this call.
    """

    path: Path
    deals: int
    solved: int
    seconds: float


class Pace:
    """How fast something is going lately, and how long the rest will take.

    Args:
      total: units that are to be done.
      window: seconds that count as lately.
      clock: the time, seconds.
    """

    def __init__(
        self, total: int, window: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._window = window
        self._clock = clock
        self._marks = deque([(clock(), 0)])
        self.done = 0

    def advance(self, amount: int) -> None:
        """Tells that `amount` more are done."""
        self.done += amount
        now = self._clock()
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and self._marks[1][0] < now - self._window:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Units a second, 0 before the first."""
        (since, before), (until, after) = self._marks[0], self._marks[-1]
        return (after - before) / (until - since) if until > since else 0.0

    def __str__(self) -> str:
        if self.rate == 0:
            return "no rate yet"
        return f"{self.rate:.2f} deals/s, {_duration((self._total - self.done) / self.rate)} left"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def block_owner(index: int, *, seed: int, part: str, block: int = BATCH) -> np.ndarray[Any, Any]:
    """The deals of one block.

    Args:
      index: which block.
      seed: of the file.
      part: what deals may be drawn from, a name of `PARTS`; others are passed over.
      block: deals in a block.

    Returns:
      uint8 `[block, 52]`.
    """
    generator = Seeds(seed).generator("deals", index)
    kept = np.zeros((0, 52), dtype=np.uint8)
    while len(kept) < block:
        drawn = random_owner(block, generator)
        kept = np.concatenate([kept, drawn[in_part(drawn, part)]])
    return kept[:block]


def _solved_block(item: tuple[int, int], *, seed: int, part: str) -> np.ndarray[Any, Any]:
    index, length = item  # the last block of a file may be short
    owner = block_owner(index, seed=seed, part=part)[:length]
    return pack_deals(owner, solve_tables(owner))


def generate_deals(
    path: Path,
    count: int,
    *,
    seed: int,
    part: str = "all",
    executor: Executor,
    progress: Progress,
    say: Callable[[str], object] = lambda _: None,
    say_every: float = 60.0,
) -> Generated:
    """Makes a file of `count` random solved deals, or goes on with one.

    Args:
      path: the deals file; if it is there, only what it lacks is made.
      count: deals that it shall hold; a file that is for more keeps its own number.
      seed: of the deals.
      part: what they are drawn from, a name of `trine.bridge.symmetry.PARTS`.
      executor: where batches are solved.
      progress: shows deals done.
      say: is told rate and time left, for logs.
      say_every: seconds between two such lines.

    Raises:
      UsageError: `count` below 1, no such part, or the file was made with another seed or part.
      DataError: a file that is not a deals file, or cannot be written.
      Interrupted: by Ctrl-C; whole blocks are kept.
    """
    require("bridge", "making deals")
    if count < 1:
        raise UsageError(f"{count} deals", accepted="an integer from 1 upward")
    if part not in PARTS:
        raise UsageError.unknown("part", part, PARTS)
    with _opened(path, Header(count, BATCH, Seeds(seed).seed, part)) as file:
        missing = np.flatnonzero(~file.state().whole)
        return fill_blocks(
            file,
            partial(_solved_block, seed=seed, part=part),
            {int(index): (int(index), file.header.length(int(index))) for index in missing},
            executor=executor,
            progress=progress,
            say=say,
            say_every=say_every,
        )


def fill_blocks(
    file: DealsFile,
    function: Callable[[Item], np.ndarray[Any, Any]],
    items: Mapping[int, Item],
    *,
    executor: Executor,
    progress: Progress,
    say: Callable[[str], object] = lambda _: None,
    say_every: float = 60.0,
) -> Generated:
    """Computes blocks of a file and writes each as soon as it is ready.

    Args:
      file: open for writing.
      function: item to the records of its block, uint8 `[length, 23]`; picklable.
      items: block -> item, for every block that is not whole.
      executor: where the function runs.
      progress: shows deals done.
      say: is told rate and time left, for logs.
      say_every: seconds between two such lines.

    Raises:
      DataError: the file cannot be written.
      Interrupted: by Ctrl-C; whole blocks are kept.
    """
    start = said = time.monotonic()
    header, blocks = file.header, list(items)
    present = header.count - sum(header.length(block) for block in blocks)
    if present and blocks:
        say(f"{file.path} has {present:,} of {header.count:,} deals; going on")
    pace = Pace(header.count - present)
    results = executor.run(function, list(items.values()))
    try:
        with progress.task("deals", total=header.count) as task:
            task.advance(present)
            for place, records in results:
                length = header.length(blocks[place])
                file.write_block(blocks[place], records)
                pace.advance(length)
                task.advance(length, note=str(pace))
                if time.monotonic() - said > say_every:
                    said = time.monotonic()
                    say(f"{present + pace.done:,} of {header.count:,} deals, {pace}")
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {present + pace.done:,} of {header.count:,} deals are in {file.path}",
            hint="run the same command again to go on",
        ) from None
    finally:
        if isinstance(results, Generator):
            results.close()  # ends the processes, whatever went wrong here
    return Generated(file.path, present + pace.done, pace.done, time.monotonic() - start)


def _opened(path: Path, wanted: Header) -> DealsFile:
    """The file, made if it is not there, grown if it is for fewer deals."""
    if not path.exists():
        return DealsFile.create(path, wanted)
    file = DealsFile.open(path, writable=True)
    found = file.header
    if (found.seed, found.part, found.block) != (wanted.seed, wanted.part, wanted.block):
        file.close()
        made = (
            f"seed {found.seed}, part {found.part}" if found.seed >= 0 else "deals from elsewhere"
        )
        raise UsageError(
            f"{path} holds {made}, not seed {wanted.seed}, part {wanted.part}",
            hint="give its own seed and part, or another file",
        )
    return file.grown(wanted.count) if wanted.count > found.count else file
