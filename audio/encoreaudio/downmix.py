"""Fewer loudspeakers: 5.1 and the like to stereo or mono, by ITU-R BS.775-4, Annex 4.

Each channel goes where the ear would place it: the centre to both fronts at -3 dB, a surround to
its own side at -3 dB. The fronts keep their level, so nothing is scaled down beforehand: the sum
may pass full scale, which the gain and limiter after it deal with. The LFE is left out, as the
standard has it, unless a level is given. The centre is never dropped, and a channel whose place is
not known is an error, not silence.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from .error import SoundError
from .signal import Block

__all__ = ["Downmix"]

_HALF_POWER = 2**-0.5
# To left and right, by FFmpeg's names.
_TO_STEREO = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "DL": (1.0, 0.0),
    "DR": (0.0, 1.0),
    "FLC": (1.0, 0.0),
    "FRC": (0.0, 1.0),
    "WL": (1.0, 0.0),
    "WR": (0.0, 1.0),
    "FC": (_HALF_POWER, _HALF_POWER),
    "BL": (_HALF_POWER, 0.0),
    "BR": (0.0, _HALF_POWER),
    "SL": (_HALF_POWER, 0.0),
    "SR": (0.0, _HALF_POWER),
    "BC": (0.5, 0.5),
    "TFL": (_HALF_POWER, 0.0),
    "TFR": (0.0, _HALF_POWER),
    "TBL": (_HALF_POWER, 0.0),
    "TBR": (0.0, _HALF_POWER),
    "TSL": (_HALF_POWER, 0.0),
    "TSR": (0.0, _HALF_POWER),
    "TC": (0.5, 0.5),
    "TFC": (0.5, 0.5),
    "TBC": (0.5, 0.5),
}


class Downmix:
    """Blocks (frames, len(speakers)) to stereo, or to mono.

    speakers: the channels' places by FFmpeg's names. lfe_db: the LFE's level in each channel; None
    leaves it out. Sound that is already so is passed on bit for bit. After it, `speakers` tells the
    new places. Raises SoundError for a place that is not known.
    """

    latency = 0

    def __init__(
        self,
        speakers: Sequence[str],
        to: Literal["stereo", "mono"] = "stereo",
        *,
        lfe_db: float | None = None,
    ) -> None:
        lfe = 0.0 if lfe_db is None else 10 ** (lfe_db / 20)
        places = _TO_STEREO | {"LFE": (lfe, lfe), "LFE2": (lfe, lfe)}
        unknown = [name for name in speakers if name not in places]
        if unknown:
            raise SoundError(
                f"cannot mix down: it is not known where channel {', '.join(unknown)} stands"
            )
        wanted = ("FL", "FR") if to == "stereo" else ("FC",)
        self.speakers: tuple[str, ...] = wanted
        self._matrix: npt.NDArray[np.float64] | None = None
        if tuple(speakers) not in (wanted, ("DL", "DR") if to == "stereo" else wanted):
            matrix = np.array([places[name] for name in speakers])
            # Mono is the half-power sum of that stereo: BS.775's 0.7, 0.7, 1, 0.5 and 0.5.
            self._matrix = matrix if to == "stereo" else matrix.sum(1, keepdims=True) * _HALF_POWER

    def process(self, block: Block) -> Block:
        """Take a block; give it with fewer channels."""
        if self._matrix is None:
            return block
        # Not a matrix product: its bits depend on how many frames there are.
        mixed = np.zeros((len(block), len(self.speakers)))
        for channel, shares in enumerate(self._matrix):
            mixed += block[:, channel, np.newaxis] * shares
        return mixed

    def flush(self) -> Block:
        """Nothing is held back."""
        return np.zeros((0, len(self.speakers)))
