"""Sound for concert recordings: measured, repaired, mastered; streaming and exact to the sample."""

from .error import SoundError
from .health import Hum, SoundHealth, measure
from .loudness import Levels, Meter
from .master import MasterReport, master
from .stream import Damage
from .targets import PRESETS, Mastering

__all__ = [
    "PRESETS",
    "Damage",
    "Hum",
    "Levels",
    "MasterReport",
    "Mastering",
    "Meter",
    "SoundError",
    "SoundHealth",
    "master",
    "measure",
]
