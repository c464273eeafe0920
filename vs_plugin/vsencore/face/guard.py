"""Whether a restored face is still the same person: a frame that strays is not used.

Where the model `sface` is kept (Zhong et al., SFace, 2021), it tells: the cosine of what it makes
of the clip's face and of the restored one. Without it the structure tells, at the recording's own
resolution, which is all that the recording says of a person: the two faces, brought down to it and
freed of their low band, must agree in the whole and in each part that makes a face: eyes, nose and
mouth. Both are asked of the face as the clip has it, never of a face that somebody expected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from torch import Tensor

from ..engine.scaling import resize
from ..zoo import ZooError, located
from .align import blur

__all__ = ["Guard", "Sface", "Structure", "guard", "structure"]

SIDE_PX = 512
# Eyes, nose and mouth in the crop of 512 pixels: middle and half of the size.
_PARTS = ((193, 240, 58, 40), (319, 240, 58, 40), (257, 310, 56, 56), (257, 371, 84, 46))
_WHOLE = (256, 270, 150, 190)
# Least agreement of a face's structure, and of SFace: 0.363 is one person by its authors' measure,
# and a face against itself, enlarged, has 0.9.
_STRUCTURE = {"strict": 0.90, "normal": 0.80}
_SFACE = {"strict": 0.75, "normal": 0.60}
_LEAST_PX = 32
_BAND_PX = 2.5
_FAINT = 2.0 / 255
# The five points in SFace's crop of 112 pixels, and in ours.
_SFACE_PX = 112
_SFACE_EYES = ((38.2946, 51.6963), (73.5318, 51.5014))
_EYES = ((192.98, 239.95), (318.90, 240.19))


class Guard(Protocol):
    """Compares two faces."""

    def same(self, own: Tensor, restored: Tensor, source_px: int) -> bool:
        """Whether two crops' luma (1, 1, 512, 512) show the same face.

        source_px: pixels of the recording that the crop's side spans.
        """


def guard(identity: str) -> Guard | None:
    """The guard that can be had; None for "off".

    Raises:
        ZooError: `sface` is kept, and its file is damaged.
    """
    if identity == "off":
        return None
    try:
        path = located("sface")
    except ZooError as error:
        if "damaged" in str(error):
            raise
        return Structure(_STRUCTURE[identity])
    return Sface(cv2.FaceRecognizerSF.create(str(path), ""), _SFACE[identity])


@dataclass(frozen=True)
class Structure:
    """Asks the picture itself."""

    least: float

    def same(self, own: Tensor, restored: Tensor, source_px: int) -> bool:
        """See `Guard`."""
        return structure(own, restored, source_px) >= self.least


@dataclass(frozen=True)
class Sface:
    """Asks the network SFace, run by OpenCV."""

    network: cv2.FaceRecognizerSF
    least: float

    def same(self, own: Tensor, restored: Tensor, source_px: int) -> bool:
        """See `Guard`."""
        one, other = (self._features(_reduced(face, source_px)) for face in (own, restored))
        return float(self.network.match(one, other, cv2.FaceRecognizerSF_FR_COSINE)) >= self.least

    def _features(self, face: Tensor) -> cv2.typing.MatLike:
        grey = resize(face, SIDE_PX, SIDE_PX, "bicubic")[0, 0].clamp(0, 1).cpu().numpy()
        codes = np.repeat((grey * 255 + 0.5).astype(np.uint8)[..., None], 3, 2)
        upright = cv2.warpAffine(codes, _to_sface(), (_SFACE_PX, _SFACE_PX), flags=cv2.INTER_AREA)
        return self.network.feature(upright).copy()


def structure(own: Tensor, restored: Tensor, source_px: int) -> float:
    """How far two crops' luma (1, 1, 512, 512) agree at the recording's resolution, up to 1.

    It is the least correlation of the whole face and of its parts, above their low band.
    """
    one, other = (_reduced(face, source_px) for face in (own, restored))
    one, other = (face - blur(face, _BAND_PX) for face in (one, other))
    scale = one.shape[-1] / SIDE_PX
    return min(_agreement(one, other, part, scale) for part in (_WHOLE, *_PARTS))


def _reduced(face: Tensor, source_px: int) -> Tensor:
    side = min(max(source_px, _LEAST_PX), SIDE_PX)
    return resize(face, side, side, "bicubic")


def _agreement(one: Tensor, other: Tensor, part: tuple[int, int, int, int], scale: float) -> float:
    """The correlation of a part of two pictures; flat parts agree."""
    across, down, wide, tall = (scale * value for value in part)
    rows = slice(max(0, round(down - tall)), round(down + tall) + 1)
    columns = slice(max(0, round(across - wide)), round(across + wide) + 1)
    first, second = one[..., rows, columns], other[..., rows, columns]
    both = float((first * second).mean())
    faint = _FAINT**2
    spread = float((first.square().mean() + faint) * (second.square().mean() + faint))
    return (both + faint) / math.sqrt(spread)


def _to_sface() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The similarity that brings our eyes to SFace's."""
    here = [complex(*point) for point in _EYES]
    there = [complex(*point) for point in _SFACE_EYES]
    turn = (there[1] - there[0]) / (here[1] - here[0])
    moved = there[0] - turn * here[0]
    return np.array([[turn.real, -turn.imag, moved.real], [turn.imag, turn.real, moved.imag]])
