"""Mastering targets as data: loudness, peaks, and what is filtered away below the music."""

from dataclasses import dataclass
from types import MappingProxyType

from .error import SoundError

__all__ = ["PRESETS", "Mastering", "mastering"]


@dataclass(frozen=True)
class Mastering:
    """What a master shall be.

    target_lufs: integrated loudness (EBU R128) that one linear gain leads to; None leaves the
    level. ceiling_dbtp: highest true peak, held by the limiter; None takes the limiter out.
    rumble_hz: half-amplitude point of the linear-phase high-pass; 0 takes it out. dc: remove a
    constant offset also where rumble_hz is 0. max_gain_db: the gain never exceeds this, so a nearly
    silent recording does not become hiss.
    """

    target_lufs: float | None = -14.0
    ceiling_dbtp: float | None = -1.0
    rumble_hz: float = 16.0
    dc: bool = True
    max_gain_db: float = 20.0

    def __post_init__(self) -> None:
        if self.target_lufs is not None and not -60 <= self.target_lufs <= 0:
            raise SoundError(f"target_lufs is {self.target_lufs}; it may be -60 to 0, or None")
        if self.ceiling_dbtp is not None and not -30 <= self.ceiling_dbtp <= 0:
            raise SoundError(f"ceiling_dbtp is {self.ceiling_dbtp}; it may be -30 to 0, or None")
        if not (self.rumble_hz == 0 or 1 <= self.rumble_hz <= 200):
            raise SoundError(f"rumble_hz is {self.rumble_hz}; it may be 0 (off) or 1 to 200")
        if not 0 <= self.max_gain_db <= 60:
            raise SoundError(f"max_gain_db is {self.max_gain_db}; it may be 0 to 60")


# Platforms' published targets; R128 for broadcast (EBU R128 v5, -1 dBTP for linear PCM).
PRESETS = MappingProxyType(
    {
        "streaming": Mastering(-14.0, -1.0),
        "apple": Mastering(-16.0, -1.0),
        "ebu-r128": Mastering(-23.0, -1.0),
        # The level of the recording is kept; only true peaks over -1 dBTP are caught.
        "archive": Mastering(None, -1.0, rumble_hz=0.0, dc=False),
        "none": Mastering(None, None, rumble_hz=0.0, dc=False),
    }
)


def mastering(preset: str | Mastering) -> Mastering:
    """The mastering that a preset's name stands for.

    Raises SoundError for an unknown name.
    """
    if isinstance(preset, Mastering):
        return preset
    if preset not in PRESETS:
        raise SoundError(f"no sound preset is called {preset!r}; there are {', '.join(PRESETS)}")
    return PRESETS[preset]
