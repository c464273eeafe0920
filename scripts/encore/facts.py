"""What a scan tells of a recording, as plain data that is written to and read from JSON.

Times are seconds on the source's own clock (the container's timestamps, not shifted to zero);
ratios and rates are exact fractions, written as "num/den".
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

__all__ = [
    "Borders",
    "Chapter",
    "ColourFact",
    "Damage",
    "FieldOrder",
    "Hum",
    "PictureFacts",
    "Ratio",
    "Scan",
    "SoundFacts",
    "StreamFacts",
    "Structure",
]

Ratio = Annotated[
    Fraction,
    BeforeValidator(lambda value: Fraction(value) if isinstance(value, str | int) else value),
    PlainSerializer(lambda value: f"{value.numerator}/{value.denominator}", return_type=str),
]

Structure = Literal["interlaced", "progressive", "telecine", "mixed"]
FieldOrder = Literal["top", "bottom"]


class Facts(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Chapter(Facts):
    """One chapter mark."""

    start_s: float
    end_s: float | None = None
    title: str = ""


class StreamFacts(Facts):
    """One stream of the container, of any kind."""

    index: int
    kind: Literal["video", "audio", "subtitle", "attachment", "data"]
    codec: str
    language: str | None = None
    title: str | None = None
    default: bool = False
    start_s: float | None = None
    duration_s: float | None = None


class ColourFact(Facts):
    """One colour property, by its FFmpeg name ("bt470bg", "bt709", "tv", "left" ...)."""

    value: str
    tagged: bool
    why: str


class Borders(Facts):
    """Black lines around the picture, in source pixels."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


class PictureFacts(Facts):
    """The picture stream: its shape, clock, colour, and what its fields really hold."""

    stream: int
    codec: str
    width: int
    height: int
    bits: int
    pixel_format: str
    sample_aspect: Ratio
    sample_aspect_tagged: bool
    display_aspect: Ratio
    rate: Ratio
    rate_constant: bool
    rate_why: str
    frames: int
    start_s: float
    """The time of the first frame that decodes."""
    duration_s: float
    """`frames / rate`: how long the frames play that a job gets."""
    clock: Literal["frames", "times", "none"] = "frames"
    """"frames": frame n is at start_s + n / rate. "times": only after frames are repeated or left
    out to fill that clock, because the timestamps have gaps or vary. "none": no timestamps."""
    matrix: ColourFact
    transfer: ColourFact
    primaries: ColourFact
    range: ColourFact
    chroma_location: ColourFact
    flagged: Literal["interlaced", "progressive", "mixed", "unknown"]
    structure: Structure
    field_order: FieldOrder | None
    structure_why: str
    structure_confidence: float
    """0..1: the share of the examined moving pictures that agree."""
    pulldown: Literal["none", "soft", "hard"] = "none"
    fragile: bool = False
    """True where the stream is damaged, and decodes the same each time only on one thread and
    without BestSource's cache (see `frames`)."""
    repeat_fields: bool = False
    """True where the stream's repeat flags must be obeyed to get the frames that are counted."""
    borders: Borders = Borders()
    cuts: list[int] = []
    """Frame numbers that begin a new shot, within the frames that were examined."""
    examined_frames: int = 0


class Hum(Facts):
    """Mains hum: the fundamental found, and the level of its lines together."""

    mains_hz: float
    level_dbfs: float


class SoundFacts(Facts):
    """One sound stream. Loudness is None where nothing louder than -70 LUFS was measured."""

    stream: int
    track: int
    """Counted among the sound streams only, from 0."""
    codec: str
    rate_hz: int
    channels: int
    layout: str
    language: str | None = None
    title: str | None = None
    default: bool = False
    start_s: float
    duration_s: float
    measured_s: float = 0.0
    """How much of the sound the figures below were measured on."""
    loudness_lufs: float | None = None
    loudness_range_lu: float | None = None
    true_peak_dbtp: float | None = None
    clipped_samples: int | None = None
    hum: Hum | None = None
    clicks_per_minute: float | None = None
    """None where there are no more than clean music may seem to have."""
    noise_dbfs: float | None = None
    """Broadband hiss in the quiet parts, the louder channel; None where there is none."""
    bandwidth_hz: float | None = None
    """Where the sound is cut off; None where no cliff was found."""
    azimuth_samples: float | None = None
    """How late the second channel is, where one common delay is sure and matters."""
    inverted: bool = False
    """One channel of a pair is upside down."""
    dead_channel: int | None = None
    """Of a pair, the channel (0 or 1) that holds no music."""


class Damage(Facts):
    """Something lost or broken in the source, and when."""

    at_s: float | None
    what: str


class Scan(Facts):
    """Everything a scan found. `source` is what the user named; `media` is the file read."""

    version: Literal[1] = 1
    encore: str
    source: str
    media: str
    size_bytes: int
    container: str
    title: str | None = None
    duration_s: float
    streams: list[StreamFacts]
    chapters: list[Chapter] = []
    picture: PictureFacts | None = None
    sound: list[SoundFacts] = []
    damage: list[Damage] = []
    index: str | None = None
    """Where the picture's index was kept (BestSource's `cachepath`), for those who read it next."""
    full: bool = False
