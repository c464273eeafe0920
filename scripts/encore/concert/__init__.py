"""A little concert of our own: drawn and played here, then recorded as the nineties would have it.

`record` writes it as a DVD-like file for `encore demo`; `pictures` and `sound` give the clean truth
that a remaster of that file can be measured against.
"""

from encore.concert.band import sound
from encore.concert.recording import pictures, record
from encore.concert.score import cuts, flashes, telling_moments

__all__ = ["cuts", "flashes", "pictures", "record", "sound", "telling_moments"]
