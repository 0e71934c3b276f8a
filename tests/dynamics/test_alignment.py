"""L*, H* and their diagonality."""

import pytest
import torch

from tests.dynamics.test_identity import ARCHITECTURES, pair
from trine.core.errors import UsageError
from trine.dynamics.architecture import Architecture
from trine.dynamics.identity import gradient_identity
from trine.dynamics.measures.alignment import aligned, diagonality, overlaps

torch.set_num_threads(1)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_overlaps_are_their_definition(architecture: Architecture) -> None:
    teacher, student, inputs = pair(architecture)
    identity = gradient_identity(teacher, student, inputs)
    for layer, found in enumerate(overlaps(teacher, student, inputs, most=3000)):
        f, f_star = identity.student.post[layer], identity.teacher.post[layer]
        expected = torch.stack([a.T @ b / 32 for a, b in zip(f, f_star, strict=True)])
        torch.testing.assert_close(found.activation, expected)
        torch.testing.assert_close(found.path, identity.gated(layer)[0].mean(1))


def test_alignment_picks_winners() -> None:
    overlap = torch.arange(12.0).view(1, 4, 3)
    square = aligned(overlap, torch.tensor([[3, 0, 1]]))
    torch.testing.assert_close(square[0], overlap[0, [3, 0, 1]])


def test_diagonality_by_hand() -> None:
    square = torch.tensor([[[4.0, -1.0, 9.0], [1.0, -2.0, 9.0], [9.0, 9.0, 9.0]]])
    alive = torch.tensor([[True, True, False]])
    torch.testing.assert_close(diagonality(square, alive), torch.tensor([3.0]))
    everything = torch.ones(1, 3, 3)
    torch.testing.assert_close(diagonality(everything, torch.ones(1, 3) > 0), torch.tensor([1.0]))
    with pytest.raises(UsageError, match="fewer than two"):
        diagonality(square, torch.tensor([[True, False, False]]))
