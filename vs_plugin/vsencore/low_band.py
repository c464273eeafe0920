"""The source's light and colour, kept: a result's low band made equal to its source's.

What a picture shows below some cells of a few source pixels is the show's light, and the source has
it right, noise and compression averaged away. So the result and the source are both brought to a
grid of such cells, by the same kernel in the same view; what the one lacks of the other is a map of
corrections. A map that was merely blurred would shine beyond a lamp's edge into the night beside
it: instead the corrections are explained by the result itself, window by window, as lines
(`engine.guided`), which follow its edges, and which change no detail but by their gentle slope.
(SeedVR's and StableSR's colour fix takes the source's low wavelet band for the same end, with
halos.)

Windows of two sizes follow one another: the wide one finds what lamps do to a picture, the small
one what is left of it in small things. A correction that is no larger than what it leaves
unexplained would be the source's noise, its blocks, or a field's false lines: it counts as it
stands out of them (Wiener's rule).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .engine.colour import Field
from .engine.guided import box, drawn_over, lines
from .engine.scaling import resize
from .engine.stage import Beside, Finish, Needs

__all__ = ["LockStage"]

# A cell's side in source pixels: half an MPEG block and more than the source's blur, its noise
# a sixth of a pixel's.
CELL_PX = 4
# Where a single field's view begins inside a frame's, in its own lines.
_FIELD_SHIFT: dict[Field | None, float] = {None: 0.0, "top": 0.25, "bottom": -0.25}
_RADII = (3, 1)
# The spread of a guide that is half believed, in Y', Cb and Cr: of luma larger than a texture's, or
# a slope would take back contrast that a result has won (at 0.02: 2 % of it, and 3 of VMAF).
_FLAT = (0.1, 0.03, 0.03)
# How often its own variance what is unexplained counts, in Y', Cb and Cr: its cells are not
# independent, and the source's chroma least of all. With 0 for all the source's noise came back
# and cost 0.1 dB of luma and 1.3 dB of chroma on a worn tape ("room 1" of the judged cases); with
# these it costs 0.0 and 0.2.
_DOUBT = (8.0, 16.0, 16.0)
_LEAST = 1e-9


@dataclass(frozen=True)
class LockStage:
    """Ends a chain: later stages would undo it. `strength` 0 changes nothing, 1 locks."""

    strength: float = 1.0
    reach: int = 0
    scale: int = 1

    @property
    def needs(self) -> Needs:
        """Nothing but the source, which every finish is shown."""
        return Needs(colour="yuv")

    def to(self, device: torch.device, dtype: torch.dtype) -> Finish:
        """It has no weights."""
        return self

    def finish(self, luma: Tensor, chroma: Tensor, beside: Beside) -> tuple[Tensor, Tensor]:
        """Give luma and chroma the low band of the source beside them."""
        if not self.strength:
            return luma, chroma
        source = beside.source
        assert source is not None, "a lock needs the source"
        lines_of_frame = source.shape[-2] * (1 if beside.field is None else 2)
        rows, columns = -(-lines_of_frame // CELL_PX), -(-source.shape[-1] // CELL_PX)

        def cells(picture: Tensor, shift: tuple[float, float]) -> Tensor:
            return resize(picture, rows, columns, "bilinear", shift)

        wanted = cells(source, (_FIELD_SHIFT[beside.field], 0.0))
        shown = torch.cat([cells(luma, (0.0, 0.0)), cells(chroma, beside.chroma_shift)], 1)
        slope, level = _correction(shown, wanted)

        def locked(picture: Tensor, part: slice, shift: tuple[float, float]) -> Tensor:
            maps = self.strength * torch.cat([level[:, part], slope[:, part]], 1)

            def corrected(lines: slice, drawn: Tensor, room: Tensor) -> None:
                here = picture[..., lines, :]
                higher, more = drawn.chunk(2, 1)
                torch.addcmul(higher.add_(here), here, more, out=room)

            return drawn_over(picture, maps, shift, corrected)

        return locked(luma, slice(0, 1), (0.0, 0.0)), locked(
            chroma, slice(1, 3), beside.chroma_shift
        )


def _correction(shown: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Lines in each channel of `shown` that bring it to `wanted`: slope and level."""
    doubt, flat = torch.tensor([_DOUBT, _FLAT], device=shown.device)[:, :, None, None]
    slope, level = torch.zeros_like(shown), torch.zeros_like(shown)
    missing = wanted - shown
    for radius in _RADII:
        more, higher = lines(shown, missing, radius, flat * flat)
        found = more * shown + higher
        left = missing - found
        told, untold = box(torch.cat([found * found, left * left], 1), _RADII[0]).chunk(2, 1)
        trust = told / (told + doubt / (2 * radius + 1) ** 2 * untold + _LEAST)
        slope, level = slope + trust * more, level + trust * higher
        missing = missing - trust * found
    return slope, level
