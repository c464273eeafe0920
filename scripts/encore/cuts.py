"""Hard cuts in a run of frames: where the picture becomes another, and not only another light.

Each frame is reduced to the miniature of its top field (one field belongs to one moment, a woven
frame may belong to two shots), and the picture engine tells by them (`vsencore.engine.light`), so
that a scan, a timeline and a filter's windows have the same cuts. At the ends of a run its first
and its last frame stand for those beyond.

The engine, and torch with it, is loaded when a frame is looked at: sound alone needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encore.frames import Luma

__all__ = ["Sketch", "cuts_in", "sketch"]

Sketch = NDArray[np.float32]
"""A small picture of the luminance, 0..1."""


def sketch(luma: Luma) -> Sketch:
    """Reduce a frame (height, width), 0..255."""
    import torch

    from vsencore.engine import light

    field = torch.from_numpy(np.ascontiguousarray(luma[0::2], np.float32) / 255)
    with torch.inference_mode():
        return np.asarray(light.miniature(field[None, None], "top")[0, 0].numpy(), np.float32)


def cuts_in(start: int, sketches: Sequence[Sketch]) -> list[int]:
    """The frames that begin a shot, in a run of frames that begins with frame `start`."""
    if len(sketches) < 2:
        return []
    import torch

    from vsencore.engine import light

    found = []
    with torch.inference_mode():
        minis = torch.from_numpy(np.stack(sketches))[:, None].expand(-1, 3, -1, -1)
        for gap in (np.flatnonzero(light.like_next(minis).numpy() < light.ALIKE) + 1).tolist():
            around = torch.arange(gap - light.LOOK, gap + light.LOOK).clamp(0, len(minis) - 1)
            if light.cut_between(minis[around]):
                found.append(start + gap)
    return found
