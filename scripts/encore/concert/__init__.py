"""A little concert of our own: drawn and played here, then recorded as the nineties would have it.

`record` writes it as a DVD-like file for `encore demo`; `pictures` and `sound` give the clean truth
that a remaster of that file can be measured against.
"""

from encore.concert.band import sound
from encore.concert.recording import pictures, record

__all__ = ["pictures", "record", "sound"]
