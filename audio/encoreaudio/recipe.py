"""What shall be done with a recording, all of it as one piece of data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .error import SoundError
from .mix import HIGHEST_DB, LOWEST_DB
from .repair import UNTOUCHED, Amount, Repair
from .targets import PRESETS, Mastering, mastering

__all__ = ["Recipe", "Reference", "Remix", "ToneTarget", "recipe"]


@dataclass(frozen=True)
class Remix:
    """Stems taken apart, repaired each by itself, and put together anew.

    model: a name of demucs's, or a file. levels_db: how much louder each stem becomes, by its name
    (vocals, drums, bass, other, and residual, which is what no stem has). voice_hiss: noise taken
    out of the voice alone, 0 to 1 or "auto". voice_presence: 0 to 1 of 4 dB about 3 kHz.
    """

    model: str
    levels_db: Mapping[str, float] = field(default_factory=dict)
    voice_hiss: Amount = "auto"
    voice_presence: float = 0.0

    def __post_init__(self) -> None:
        hiss = self.voice_hiss
        if hiss != "auto" and not (isinstance(hiss, int | float) and 0 <= hiss <= 1):
            raise SoundError(f"voice_hiss is {hiss!r}; it may be 0 to 1, or auto")
        if not 0 <= self.voice_presence <= 1:
            raise SoundError(f"voice_presence is {self.voice_presence}; it may be 0 to 1")
        for name, level_db in self.levels_db.items():
            if not LOWEST_DB <= level_db <= HIGHEST_DB:
                raise SoundError(
                    f"level of {name} is {level_db} dB; it may be {LOWEST_DB:g} to {HIGHEST_DB:g}"
                )


@dataclass(frozen=True)
class ToneTarget:
    """Where the long-term spectrum shall go.

    match: a named curve (`tone.CURVES`), a recording's file, or None. amount: how much of the way,
    0 to 1; most_db: no band moves further. tilt_db: the gain at 20 kHz less that at 20 Hz, on top.
    phase: "linear" or "minimum".
    """

    match: str | Path | None = None
    amount: float = 0.5
    most_db: float = 6.0
    tilt_db: float = 0.0
    phase: Literal["linear", "minimum"] = "linear"

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= 1:
            raise SoundError(f"tone amount is {self.amount}; it may be 0 to 1")
        if not 0 <= self.most_db <= 12:
            raise SoundError(f"tone most_db is {self.most_db}; it may be 0 to 12")
        if not -12 <= self.tilt_db <= 12:
            raise SoundError(f"tilt_db is {self.tilt_db}; it may be -12 to 12")
        if self.phase not in ("linear", "minimum"):
            raise SoundError(f"tone phase is {self.phase!r}; it may be linear or minimum")

    @property
    def flat(self) -> bool:
        """Whether nothing is asked for."""
        return not self.tilt_db and (self.match is None or not self.amount)


@dataclass(frozen=True)
class Reference:
    """The recording on whose clock the master shall lie: a film's own sound, mostly.

    fill: where the source has nothing, the reference's sound is heard, and not silence.
    """

    file: str | Path
    track: int = 0
    fill: bool = False


@dataclass(frozen=True)
class Recipe:
    """Repair, then stems, tone and level. None leaves a step out.

    downmix: fewer channels, after the repair. dither: how 16-bit samples are rounded, with flat
    noise or with noise shaped to where ears hear it least.
    """

    mastering: Mastering = PRESETS["streaming"]
    repair: Repair = field(default_factory=Repair)
    remix: Remix | None = None
    tone: ToneTarget | None = None
    downmix: Literal["stereo", "mono"] | None = None
    reference: Reference | None = None
    dither: Literal["flat", "shaped"] = "flat"

    def __post_init__(self) -> None:
        if self.downmix not in (None, "stereo", "mono"):
            raise SoundError(f"downmix is {self.downmix!r}; it may be stereo or mono, or None")
        if self.dither not in ("flat", "shaped"):
            raise SoundError(f"dither is {self.dither!r}; it may be flat or shaped")


def recipe(preset: "str | Mastering | Recipe") -> Recipe:
    """The recipe that a preset's name or a mastering stands for.

    The presets "archive" and "none" repair nothing. Raises SoundError for an unknown name.
    """
    if isinstance(preset, Recipe):
        return preset
    if preset in ("archive", "none"):
        return Recipe(mastering(preset), UNTOUCHED)
    return Recipe(mastering(preset))
