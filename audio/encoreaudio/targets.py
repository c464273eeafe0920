"""Mastering targets as data: loudness and peaks."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from .error import SoundError
from .loudness import Levels

__all__ = ["PRESETS", "Mastering", "ceiling_for", "mastering", "wanted_gain_db"]


@dataclass(frozen=True)
class Mastering:
    """What a master shall be.

    target_lufs: integrated loudness (EBU R128) that one linear gain leads to; None leaves the
    level. ceiling_dbtp: highest true peak, held by the limiter; None takes the limiter out.
    max_gain_db: the gain never exceeds this, so a nearly silent recording does not become hiss.
    mode: "album" has one gain for the whole show, so quiet songs stay quiet; "song" also moves each
    song towards the others by at most song_range_db. anchor: what is led to the target: the
    programme, its loudest song, or the true peak, which goes to the ceiling.
    """

    target_lufs: float | None = -14.0
    ceiling_dbtp: float | None = -1.0
    max_gain_db: float = 20.0
    mode: Literal["album", "song"] = "album"
    song_range_db: float = 2.0
    anchor: Literal["programme", "loudest song", "peak"] = "programme"

    def __post_init__(self) -> None:
        if self.target_lufs is not None and not -60 <= self.target_lufs <= 0:
            raise SoundError(f"target_lufs is {self.target_lufs}; it may be -60 to 0, or None")
        if self.ceiling_dbtp is not None and not -30 <= self.ceiling_dbtp <= 0:
            raise SoundError(f"ceiling_dbtp is {self.ceiling_dbtp}; it may be -30 to 0, or None")
        if not 0 <= self.max_gain_db <= 60:
            raise SoundError(f"max_gain_db is {self.max_gain_db}; it may be 0 to 60")
        if self.mode not in ("album", "song"):
            raise SoundError(f"mode is {self.mode!r}; it may be album or song")
        if not 0 <= self.song_range_db <= 12:
            raise SoundError(f"song_range_db is {self.song_range_db}; it may be 0 to 12")
        if self.anchor not in ("programme", "loudest song", "peak"):
            raise SoundError(
                f"anchor is {self.anchor!r}; it may be programme, loudest song or peak"
            )
        if self.anchor == "peak" and (self.ceiling_dbtp is None or self.target_lufs is not None):
            raise SoundError("anchor peak needs a ceiling_dbtp, and target_lufs None")


# Platforms' published targets; R128 for broadcast (EBU R128 v5, -1 dBTP for linear PCM).
PRESETS = MappingProxyType(
    {
        "streaming": Mastering(-14.0, -1.0),
        "apple": Mastering(-16.0, -1.0),
        "ebu-r128": Mastering(-23.0, -1.0),
        # Netflix gates by dialogue at -27 LKFS; a programme with less than 15 % of it, which a
        # concert is, goes by the whole programme at -24 instead.
        "netflix": Mastering(-24.0, -2.0),
        # AES TD1008 for albums: the loudest song at -14, the others below it as they were.
        "aes-album": Mastering(-14.0, -1.0, anchor="loudest song"),
        # A disc knows no loudness target: as high as it goes. No codec comes after it, so 0.3 dB
        # is for the converters of players alone.
        "cd": Mastering(None, -0.3, anchor="peak"),
        # The level of the recording is kept; only true peaks over -1 dBTP are caught.
        "archive": Mastering(None, -1.0),
        "none": Mastering(None, None),
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


def wanted_gain_db(
    wanted: Mastering, levels: Levels, loudest_song_lufs: float | None = None
) -> float:
    """The one linear gain that a recording of such levels needs, before any limiting.

    loudest_song_lufs: None takes the programme for one song.
    """
    if wanted.anchor == "peak":
        assert wanted.ceiling_dbtp is not None
        target, heard = wanted.ceiling_dbtp, levels.true_peak_dbtp
    else:
        if wanted.target_lufs is None:
            return 0.0
        target, heard = wanted.target_lufs, levels.integrated_lufs
        if wanted.anchor == "loudest song" and loudest_song_lufs is not None:
            heard = loudest_song_lufs
    return 0.0 if heard is None else min(target - heard, wanted.max_gain_db)


# By how much peaks may rise through an encoder and its decoder, at so many kbit/s or more for two
# channels. `scripts/bench/sounds/codecs.py` measures the rise on music that a limiter worked hard
# on; these lie above the highest, since a show is longer than what is measured there.
_RISES_DB = MappingProxyType(
    {
        "aac": ((320, 0.8), (256, 1.2), (192, 1.8), (0, 4.0)),
        "opus": ((256, 1.0), (192, 1.2), (128, 1.6), (0, 2.5)),
    }
)


def ceiling_for(codec: str, kbps: int, ceiling_dbtp: float, channels: int = 2) -> float:
    """The ceiling of a master whose true peaks shall stay under 0 dBTP once decoded.

    codec: "aac" (FFmpeg's own) or "opus"; any other is taken to be lossless, and leaves the
    ceiling. The ceiling is never raised.
    """
    stereo_kbps = kbps * 2 / channels
    rises = _RISES_DB.get(codec, ((0, 0.0),))
    return min(ceiling_dbtp, -next(rise for least, rise in rises if stereo_kbps >= least))
