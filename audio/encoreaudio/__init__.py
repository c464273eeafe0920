"""Sound for concert recordings: measured, repaired, mastered; streaming and exact to the sample."""

from .align import align
from .error import SoundError
from .health import SoundHealth, measure
from .hum import Hum
from .loudness import Levels, Meter
from .master import master
from .recipe import Recipe, Reference, Remix, ToneTarget
from .repair import UNTOUCHED, Findings, Repair
from .report import MasterReport
from .stream import Damage
from .targets import PRESETS, Mastering

__all__ = [
    "PRESETS",
    "UNTOUCHED",
    "Damage",
    "Findings",
    "Hum",
    "Levels",
    "MasterReport",
    "Mastering",
    "Meter",
    "Recipe",
    "Reference",
    "Remix",
    "Repair",
    "SoundError",
    "SoundHealth",
    "ToneTarget",
    "align",
    "master",
    "measure",
]
