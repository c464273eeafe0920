"""A remaster as data: TOML files with a schema, changed key by key with `--set`.

Every key does something; an unknown key or a wrong value is refused with the nearest right name,
so that a misspelt setting never passes in silence. `auto` is no file: it is the choice among the
files that a scan suggests.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from encore.errors import RequestError
from encore.facts import Scan

__all__ = ["Job", "Preset", "choose", "flatten", "load", "names", "parse", "with_settings"]

VERSION: Literal[1] = 1

_X26X = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
]
SPEEDS = {"x265": _X26X, "x264": _X26X, "svtav1": [str(speed) for speed in range(14)]}
"""The names of an encoder's speeds, slowest last; for SVT-AV1 first."""


class Settings(BaseModel):
    """A group of settings; frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Crop(Settings):
    """What is cut off the source picture before anything else."""

    borders: bool = False
    """Cut the black borders that the scan found."""
    edges: Annotated[int, Field(ge=0, le=64)] = 0
    """Pixels cut from the left and from the right: 8 removes the analogue blanking of 720 wide.
    A network and a lock cut whole samples of chroma, and so up to three more."""


class Deinterlace(Settings):
    """How fields become frames, where the source has fields."""

    method: Literal["qtgmc", "bwdif", "fieldnet", "none"] = "qtgmc"
    rate: Literal["double", "single"] = "double"


class Restore(Settings):
    """Noise and compression damage."""

    method: Literal["degrain", "framenet"] = "degrain"
    strength: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = "auto"
    """How much is restored: "auto" is 0.4 by "degrain" and all of it by a network. At 0 nothing is,
    and a network is left out."""
    model: str = "none"
    """A network that makes clean, whole, large frames in one step, of fields or of frames: "base",
    or a file of weights. It takes the place of the deinterlacer, the noise reduction and the
    enlarger, and of their settings."""
    grain: Annotated[float, Field(ge=0, le=1)] = 0.0
    """For a network: how much of the grain that it takes out is given back."""

    @property
    def amount(self) -> float:
        """The strength as a number, for the method."""
        if self.strength != "auto":
            return self.strength
        return 0.4 if self.method == "degrain" else 1.0


class Upscale(Settings):
    """The size of the result; its pixels are square."""

    method: Literal["nnedi3", "lanczos", "framenet", "model"] = "nnedi3"
    model: str = "none"
    """For "model": a name that `encore models list` knows, or a file that spandrel reads."""
    height: Literal["auto"] | Annotated[int, Field(ge=64, le=4320, multiple_of=2)] = "auto"
    """Lines of the result; "auto" is 1080, or the source's own where it has more."""

    @model_validator(mode="after")
    def _a_model_goes_with_its_method(self) -> Upscale:
        if (self.method == "model") != (self.model != "none"):
            raise ValueError('method "model" wants a model (a name or a file), and only it does')
        return self


class Light(Settings):
    """The stage's light, and the colours that it gives."""

    lock: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How far light and colours are held to the source's, frame by frame, whatever else was done:
    1 locks them."""


class Faces(Settings):
    """Faces made clearer, and kept who they are."""

    strength: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0 leaves them alone, and they are not looked for."""
    method: Annotated[str, Field(min_length=1)] = "detail"
    """"detail" shows what is in the recording and invents nothing; else a model of faces: a name
    that `encore models list` knows, or a file that spandrel reads."""
    identity: Literal["strict", "normal", "off"] = "strict"
    """How near a model's face must be to the recording's; where it strays, "detail" is used."""


class Relight(Settings):
    """Dim light: more of what the dark hides. Little is much: 0.2."""

    shadows: Annotated[float, Field(ge=0, le=1)] = 0.0
    highlights: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Opens what is bright and not clipped."""

    @property
    def asked(self) -> bool:
        """Whether anything is asked for."""
        return self.shadows > 0 or self.highlights > 0


class Picture(Settings):
    """The picture chain."""

    enabled: bool = True
    crop: Crop = Crop()
    deinterlace: Deinterlace = Deinterlace()
    restore: Restore = Restore()
    upscale: Upscale = Upscale()
    faces: Faces = Faces()
    light: Light = Light()
    relight: Relight = Relight()

    @property
    def finished(self) -> bool:
        """Whether anything is asked for that comes after the picture was made whole and large."""
        return self.faces.strength > 0 or self.light.lock > 0 or self.relight.asked


type RepairAmount = Literal["auto"] | Annotated[float, Field(ge=0, le=1)]
type StemLevel = Annotated[float, Field(ge=-12, le=6)]


class Repair(Settings):
    """What is taken out of the sound: "auto", or an amount from 0 to 1.

    "auto" repairs in full what the sound's finders found, and leaves the rest alone.
    """

    clip: RepairAmount = "auto"
    clicks: RepairAmount = "auto"
    polarity: RepairAmount = "auto"
    """A channel that is upside down or dead, and dropouts of one."""
    azimuth: RepairAmount = "auto"
    """A delay between the channels."""
    dc: RepairAmount = "auto"
    """Constant offset and rumble."""
    rumble_hz: Annotated[float, Field(ge=5, le=60)] = 16.0
    """Rumble is what lies under this frequency."""
    hum: RepairAmount = "auto"
    hiss: RepairAmount = "auto"
    hiss_print: Literal["auto"] | tuple[float, float] = "auto"
    """From which second to which there is nothing but noise; "auto" finds it in the quiet parts."""
    reverb: RepairAmount = 0.0
    """The hall is part of the show: "auto" is 0."""
    bandwidth: RepairAmount = 0.0
    """Invents harmonics above the cut-off: "auto" is 0."""


class Separate(Settings):
    """Stems, taken apart by demucs."""

    model: str = "none"
    """A name of demucs's (`htdemucs`), or a file of weights; "none" takes nothing apart."""
    voice_hiss: RepairAmount = "auto"
    """Hiss taken out of the voice alone."""
    voice_presence: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much of 4 dB about 3 kHz the voice gets."""


class Mix(Settings):
    """How much louder each stem becomes; crowd and hall are in the residual."""

    vocals_db: StemLevel = 0.0
    drums_db: StemLevel = 0.0
    bass_db: StemLevel = 0.0
    other_db: StemLevel = 0.0
    guitar_db: StemLevel = 0.0
    piano_db: StemLevel = 0.0
    residual_db: StemLevel = 0.0

    @property
    def levels_db(self) -> dict[str, float]:
        """The stems that are moved, by name."""
        told: dict[str, float] = self.model_dump()
        return {name.removesuffix("_db"): db for name, db in told.items() if db}


class ToneSettings(Settings):
    """The long-term spectrum."""

    match: str = "none"
    """"none", a curve ("concert", "neutral", "warm"), or a recording to be like."""
    amount: Annotated[float, Field(ge=0, le=1)] = 0.5
    tilt_db: Annotated[float, Field(ge=-12, le=12)] = 0.0
    """The gain at 20 kHz less that at 20 Hz."""


class Loudness(Settings):
    """The level of the finished sound."""

    target_lufs: Literal["none"] | Annotated[float, Field(ge=-40, le=-6)] = -16.0
    ceiling_dbtp: Annotated[float, Field(ge=-12, le=0)] = -1.0
    mode: Literal["album", "song"] = "album"
    """"album" is one gain for the whole show: quiet songs stay quiet. "song" brings the songs
    together, by at most song_range_db."""
    song_range_db: Annotated[float, Field(ge=0, le=12)] = 2.0
    anchor: Literal["programme", "loudest song", "peak"] = "programme"
    """What target_lufs is about; "peak" wants target_lufs "none", and goes up to the ceiling."""

    @model_validator(mode="after")
    def _peaks_have_no_loudness(self) -> Loudness:
        if self.anchor == "peak" and self.target_lufs != "none":
            raise ValueError('anchor "peak" wants target_lufs "none"')
        return self


class Sound(Settings):
    """The sound chain."""

    enabled: bool = True
    track: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """Which sound track is mastered, from 0; "auto" is the default track."""
    downmix: Literal["none", "stereo", "mono"] = "none"
    repair: Repair = Repair()
    separate: Separate = Separate()
    mix: Mix = Mix()
    tone: ToneSettings = ToneSettings()
    loudness: Loudness = Loudness()
    dither: Literal["flat", "shaped"] = "flat"
    """How 16-bit samples are rounded."""

    @model_validator(mode="after")
    def _a_mix_needs_stems(self) -> Sound:
        voice = self.separate.voice_presence or self.separate.voice_hiss != "auto"
        if self.separate.model == "none" and (self.mix.levels_db or voice):
            raise ValueError(
                "mix levels, voice_hiss and voice_presence need stems: "
                "set sound.separate.model (htdemucs)"
            )
        return self


class Encode(Settings):
    """What is written."""

    codec: Literal["x265", "x264", "svtav1", "ffv1", "prores"] = "x265"
    crf: Annotated[float, Field(ge=0, le=51)] = 17.0
    """Quality of x265, x264 and svtav1: less is better. ffv1 and prores do not use it."""
    preset: Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, int) else v)] = "auto"
    """The encoder's own name of its speed; for svtav1 a number from 0 to 13."""
    audio_codec: Literal["auto", "flac", "aac", "opus", "pcm"] = "auto"
    """"auto" is FLAC in MKV, AAC in MP4, PCM in MOV."""
    audio_kbps: Annotated[int, Field(ge=64, le=1024)] = 320
    """For AAC and Opus."""
    keep_originals: bool = True
    """Keep the untouched sound tracks of the source beside the mastered one."""

    @model_validator(mode="after")
    def _preset_is_one_of_the_encoder(self) -> Encode:
        allowed = SPEEDS.get(self.codec, ())
        if self.preset != "auto" and allowed and self.preset not in allowed:
            raise ValueError(
                f"preset of {self.codec} cannot be {self.preset!r}: {', '.join(allowed)}"
            )
        return self


class Job(Settings):
    """How a long picture is worked off; of this only `chunk_s` shows in the file, as key frames."""

    chunk_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """About how long a chunk is, in seconds of the show: what a crash can cost."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """How often a chunk that failed is tried again."""
    stall_s: Annotated[float, Field(ge=1)] = 900.0
    """A chunk in which no frame comes for so long is ended and tried again."""
    disk_reserve_mib: Annotated[int, Field(ge=0)] = 512
    """No chunk is begun that would leave less than this free: the job waits for room."""
    keep_chunks: bool = False
    """Keep the chunks when all is done, so that the next run makes only what changed."""


class Preset(Settings):
    """One remaster, whole."""

    version: Literal[1] = VERSION
    title: str = ""
    picture: Picture = Picture()
    sound: Sound = Sound()
    encode: Encode = Encode()
    job: Job = Job()


def names() -> list[str]:
    """The names of the presets that come with Encore, `auto` first."""
    return ["auto", *sorted(file.name.removesuffix(".toml") for file in _folder().iterdir())]


def load(name: str) -> Preset:
    """A preset by its name, or from a `.toml` file by its path.

    Raises RequestError for a name that is none, or a file that is wrong.
    """
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        try:
            return parse(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
            raise RequestError(f"preset {name} could not be read: {reason}") from error
    if name == "auto":
        raise RequestError("preset auto chooses by a recording: name another (encore presets list)")
    if name not in names():
        raise RequestError(f"there is no preset {name!r}{_nearest(name, names())}")
    return parse((_folder() / f"{name}.toml").read_text(encoding="utf-8"), name)


def parse(text: str, where: str) -> Preset:
    """A preset from TOML text. Raises RequestError that says which key is wrong, and how."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{where}: this is not TOML: {error}") from error
    if data.get("version") != VERSION:
        raise RequestError(f"{where}: version must be {VERSION}, not {data.get('version')!r}")
    return _validated(data, where)


def with_settings(preset: Preset, settings: Iterable[str]) -> Preset:
    """The preset with each `key=value` laid over it, in order.

    A value is a TOML value, or else plain text: `true`, `0.5` and `none` all do.
    Raises RequestError for an unknown key or a wrong value.
    """
    data = preset.model_dump()
    for setting in settings:
        key, equals, text = setting.partition("=")
        key, text = key.strip(), text.strip()
        if not equals:
            raise RequestError(f"--set wants key=value, not {setting!r}")
        if key not in flatten(preset):
            raise RequestError(f"there is no setting {key!r}{_nearest(key, flatten(preset))}")
        *groups, last = key.split(".")
        place = data
        for group in groups:
            place = place[group]
        place[last] = _value(text)
    return _validated(data, "--set")


def flatten(preset: Preset) -> dict[str, object]:
    """Every setting by its dotted key, as `--set` names it."""

    def walk(data: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, object]]:
        for key, value in data.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")
            elif prefix:
                yield f"{prefix}{key}", value

    return dict(walk(preset.model_dump(), ""))


def choose(scan: Scan) -> tuple[str, str]:
    """The preset that a scan suggests, and why, in words."""
    picture = scan.picture
    if picture is None:
        return "audio-only", "there is no picture"
    if picture.codec in ("dvvideo", "huffyuv", "ffvhuff", "v210", "utvideo", "rawvideo"):
        return "concert-tape", f"{picture.codec} is what tapes are captured to"
    if picture.height > 576:
        if picture.structure == "progressive":
            return "gentle", f"{picture.height} progressive lines need little"
        return "concert-broadcast-1080i", f"{picture.height} lines, {picture.structure}"
    if picture.height in (576, 288) and picture.width >= 352:
        return "concert-dvd-pal", f"{picture.width}x{picture.height} is PAL"
    if picture.height in (480, 486, 240) and picture.width in (352, 480, 704, 720):
        return "concert-dvd-ntsc", f"{picture.width}x{picture.height} is NTSC"
    return "gentle", f"{picture.width}x{picture.height} is no disc's or tape's size"


def _folder() -> Traversable:
    packaged = files("encore") / "presets"
    if packaged.is_dir():
        return packaged
    return Path(__file__).resolve().parents[2] / "presets"


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _validated(data: Mapping[str, Any], where: str) -> Preset:
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        raise RequestError(f"{where}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        key = ".".join(str(part) for part in first["loc"])
        return f"there is no setting {key!r}{_nearest(key, _schema())}"
    # Behind a union, pydantic adds the name of the branch to the path.
    key = ".".join(str(part) for part in first["loc"])
    while key and key not in _schema():
        key = key.rpartition(".")[0]
    reasons = dict.fromkeys(
        entry["msg"].removeprefix("Input ").removeprefix("Value error, ")
        for entry in error.errors()
        if ".".join(str(part) for part in entry["loc"]).startswith(key)
    )
    if first["type"] == "value_error":
        return f"{key}: {' or '.join(reasons)}"
    words = _choices(key)
    close = difflib.get_close_matches(str(first["input"]), words, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{key} cannot be {first['input']!r}: {' or '.join(reasons)}{hint}"


def _nearest(name: str, known: Collection[str]) -> str:
    """A hint: the right name that is nearest, else the names there are, if they are few."""
    group, _, last = name.rpartition(".")
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == group}
    close = [siblings[match] for match in difflib.get_close_matches(last, siblings, n=1)]
    if not close:
        close = difflib.get_close_matches(name, known, n=1)
    if not close:
        by_last = {key.rpartition(".")[2]: key for key in known}
        close = [by_last[match] for match in difflib.get_close_matches(last, by_last, n=1)]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(siblings.values())}" if siblings else ""


def _fields(model: type[BaseModel], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field.annotation
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")


@cache
def _schema() -> dict[str, Any]:
    """Every key that a preset file may have, groups included, with its type."""
    return dict(_fields(Preset))


def _choices(key: str) -> list[str]:
    """The words that a setting may be, where it is one of some words."""
    annotation = _schema().get(key)
    parts = typing.get_args(annotation) if _is_union(annotation) else [annotation]
    return [
        str(word)
        for part in parts
        if typing.get_origin(part) is Literal
        for word in typing.get_args(part)
    ]


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)
