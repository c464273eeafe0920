"""The guard: the same face passes, another does not, and one wrong part is enough."""

import pytest
import torch
from torch import Tensor

from vsencore.engine.scaling import resize
from vsencore.face.align import blur
from vsencore.face.guard import SIDE_PX, Structure, guard, structure

SOURCE_PX = 120


@pytest.fixture(autouse=True)
def no_models(tmp_path, monkeypatch):
    """Without `sface`."""
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path))


def face(seed: int) -> Tensor:
    """A luma of blobs as large as a face's features."""
    noise = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(seed))
    blobs = blur(noise, 2.5)
    return resize(0.5 + 0.15 * blobs / blobs.std(), SIDE_PX, SIDE_PX, "bicubic")


def test_a_face_agrees_with_itself():
    assert structure(face(1), face(1), SOURCE_PX) == pytest.approx(1, abs=1e-4)


def test_another_face_does_not_pass():
    assert not Structure(0.8).same(face(1), face(2), SOURCE_PX)


def test_another_light_is_the_same_face():
    assert structure(face(1), 0.6 * face(1) + 0.3, SOURCE_PX) > 0.97


def test_detail_beyond_the_source_is_free():
    own = face(1)
    noise = torch.randn(own.shape, generator=torch.Generator().manual_seed(3))
    fine = 0.05 * (noise - blur(noise, 1.5))
    assert structure(own, own + fine, SOURCE_PX) > 0.95


def test_another_mouth_alone_is_another_face():
    own, other = face(1), face(2)
    mixed = own.clone()
    mixed[..., 325:417, 173:341] = other[..., 325:417, 173:341]
    assert structure(own, mixed, SOURCE_PX) < 0.6


def test_a_face_of_few_pixels_is_asked_at_few_pixels():
    own = face(1)
    restored = own + 0.06 * (face(4) - blur(face(4), 6.0))
    assert structure(own, restored, 32) >= structure(own, restored, SIDE_PX)


def test_off_asks_nobody_and_structure_is_asked_where_sface_is_not_kept():
    assert guard("off") is None
    strict, normal = guard("strict"), guard("normal")
    assert isinstance(strict, Structure)
    assert isinstance(normal, Structure)
    assert strict.least > normal.least
