"""The encoders: what each wants as input, and how it is told size, rate, colour and quality.

Colour goes into the bitstream itself (the VUI), because players trust that over the container, and
because y4m, which carries the frames, knows nothing of colour. Groups of pictures are closed and at
most ten seconds long, so that a player can seek and pieces can be joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from encore.errors import JobError, RequestError
from encore.preset import Encode

__all__ = [
    "PICTURE_SUFFIXES",
    "SOUND_SUFFIXES",
    "Clip",
    "check",
    "check_colour",
    "intermediate_suffix",
    "pixel_format",
    "sound_arguments",
    "sound_codec",
    "video_arguments",
    "within_threads",
]

PICTURE_SUFFIXES = (".mkv", ".mp4", ".m4v", ".mov")
SOUND_SUFFIXES = (".flac", ".wav", ".w64", ".rf64")

# ITU-T H.273 tables 4, 3 and 2, by FFmpeg's names, which x265 shares.
_MATRIX = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m"}
_MATRIX |= {8: "ycgco", 9: "bt2020nc", 10: "bt2020c", 14: "ictcp"}
_TRANSFER = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear"}
_TRANSFER |= {9: "log100", 10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1"}
_TRANSFER |= {14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 18: "arib-std-b67"}
_PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film"}
_PRIMARIES |= {9: "bt2020", 10: "smpte428", 11: "smpte431", 12: "smpte432"}
_UNSPECIFIED = 2
_CHROMA = {0: "left", 1: "center", 2: "topleft", 3: "top", 4: "bottomleft", 5: "bottom"}

_SUITS = {
    "x265": PICTURE_SUFFIXES,
    "x264": PICTURE_SUFFIXES,
    "svtav1": (".mkv", ".mp4", ".m4v"),
    "ffv1": (".mkv",),
    "prores": (".mkv", ".mov"),
}
_FORMATS = {
    "x265": "YUV420P10",
    "x264": "YUV420P8",
    "svtav1": "YUV420P10",
    "ffv1": "YUV420P10",
    "prores": "YUV422P10",
}
_SPEED = {"x265": "medium", "x264": "medium", "svtav1": "5"}
_SOUND = {
    ".mkv": ("flac", "aac", "opus", "pcm"),
    ".mp4": ("aac", "flac", "opus"),
    ".m4v": ("aac", "flac", "opus"),
    ".mov": ("pcm", "aac"),
}


@dataclass(frozen=True)
class Clip:
    """The finished picture as the script gives it: what an encoder has to be told.

    Colours are the numbers of ITU-T H.273; `full_range` is True for full-range samples.
    """

    width: int
    height: int
    frames: int
    rate: Fraction
    format: str
    matrix: int
    transfer: int
    primaries: int
    full_range: bool
    chroma_location: int
    sample_aspect: Fraction


def check(settings: Encode, suffix: str) -> None:
    """Raise RequestError where the codecs asked for do not go into this container."""
    if suffix not in _SUITS[settings.codec]:
        allowed = " or ".join(_SUITS[settings.codec])
        raise RequestError(f"{settings.codec} does not go into {suffix}: name the output {allowed}")
    if settings.audio_codec not in ("auto", *_SOUND[suffix]):
        allowed = ", ".join(_SOUND[suffix])
        raise RequestError(
            f"encode.audio_codec {settings.audio_codec!r} does not go into {suffix}: "
            f"set it to one of {allowed}"
        )


def check_colour(clip: Clip) -> None:
    """Raise JobError where the clip's colour has no name that the encoders know."""
    for name, number, table in (
        ("matrix", clip.matrix, _MATRIX),
        ("transfer", clip.transfer, _TRANSFER),
        ("primaries", clip.primaries, _PRIMARIES),
    ):
        if number != _UNSPECIFIED and number not in table:
            raise JobError(f"the picture's {name} (H.273 code {number}) cannot be written")


def pixel_format(codec: str) -> str:
    """The VapourSynth format that an encoder is given."""
    return _FORMATS[codec]


def intermediate_suffix(codec: str) -> str:
    """The container of the picture alone: MP4 and MOV hold any rate, but not FFV1's range."""
    return {"ffv1": ".mkv", "prores": ".mov"}.get(codec, ".mp4")


def video_arguments(settings: Encode, clip: Clip) -> list[str]:
    """FFmpeg's output arguments for the picture."""
    # A whole second and ten of them, in frames of the nearest whole rate.
    second = round(clip.rate)
    colour = _colour(clip)
    arguments = [
        "-vf",
        f"setparams=color_primaries={colour['primaries']}:color_trc={colour['transfer']}"
        f":colorspace={colour['matrix']}:range={colour['range']}:chroma_location={colour['chroma']}"
        f",setsar={clip.sample_aspect.numerator}/{clip.sample_aspect.denominator}",
        "-color_primaries", colour["primaries"],
        "-color_trc", colour["transfer"],
        "-colorspace", colour["matrix"],
        "-color_range", colour["range"],
        "-chroma_sample_location", colour["chroma"],
    ]  # fmt: skip
    speed = _SPEED.get(settings.codec, "") if settings.preset == "auto" else settings.preset
    if settings.codec == "x265":
        arguments += ["-c:v", "libx265", "-preset", speed, "-crf", f"{settings.crf:g}"]
        arguments += ["-pix_fmt", "yuv420p10le", "-profile:v", "main10"]
        arguments += ["-x265-params", _x265(second, colour)]
    elif settings.codec == "x264":
        arguments += ["-c:v", "libx264", "-preset", speed, "-crf", f"{settings.crf:g}"]
        arguments += ["-pix_fmt", "yuv420p", "-profile:v", "high", "-g", str(10 * second)]
        arguments += ["-keyint_min", str(second), "-x264-params", "open-gop=0:aq-mode=3"]
        arguments += ["-threads", "6"]
    elif settings.codec == "svtav1":
        arguments += ["-c:v", "libsvtav1", "-preset", speed, "-crf", f"{settings.crf:g}"]
        arguments += ["-pix_fmt", "yuv420p10le", "-g", str(10 * second)]
        arguments += ["-svtav1-params", "irefresh-type=2:tune=0"]
    elif settings.codec == "ffv1":
        arguments += ["-c:v", "ffv1", "-level", "3", "-g", "1", "-slices", "12", "-slicecrc", "1"]
    else:
        arguments += ["-c:v", "prores_ks", "-profile:v", "hq", "-pix_fmt", "yuv422p10le"]
        arguments += ["-vendor", "apl0"]
    if intermediate_suffix(settings.codec) != ".mkv":
        arguments += ["-video_track_timescale", str(_timescale(clip.rate))]
    return arguments


def within_threads(arguments: Sequence[str], threads: int | None) -> list[str]:
    """Arguments of `video_arguments` with the encoder bound to so many threads; same bits."""
    bound = {"-x265-params": f"pools={threads}", "-svtav1-params": f"lp={min(6, threads or 6)}"}
    given = list(arguments)
    for name, value in bound.items():
        if threads is not None and name in given:
            given[given.index(name) + 1] += f":{value}"
    return given


def sound_codec(settings: Encode, suffix: str) -> str:
    """The sound codec for this container: the one asked for, or the container's own."""
    return _SOUND[suffix][0] if settings.audio_codec == "auto" else settings.audio_codec


def sound_arguments(settings: Encode, suffix: str, stream: str) -> list[str]:
    """FFmpeg's output arguments for the mastered sound, as output stream `stream` ("a:0")."""
    codec = sound_codec(settings, suffix)
    if codec == "flac":
        return [f"-c:{stream}", "copy"]
    if codec == "pcm":
        return [f"-c:{stream}", "pcm_s24le"]
    encoder = {"aac": "aac", "opus": "libopus"}[codec]
    kbps = min(settings.audio_kbps, 510) if codec == "opus" else settings.audio_kbps
    return [f"-c:{stream}", encoder, f"-b:{stream}", f"{kbps}k"]


def _colour(clip: Clip) -> dict[str, str]:
    def name(table: dict[int, str], number: int) -> str:
        return table.get(number, "unknown")

    return {
        "matrix": name(_MATRIX, clip.matrix),
        "transfer": name(_TRANSFER, clip.transfer),
        "primaries": name(_PRIMARIES, clip.primaries),
        "range": "pc" if clip.full_range else "tv",
        "chroma": _CHROMA.get(clip.chroma_location, "left"),
    }


def _x265(second: int, colour: dict[str, str]) -> str:
    # Dark stages band first: aq-mode 3 gives the dark its bits, and SAO would smear its grain.
    options = {
        "log-level": "warning",
        "open-gop": "0",
        "repeat-headers": "1",
        "keyint": str(10 * second),
        "min-keyint": str(second),
        # By default it follows the machine, and with it the bits that come out.
        "frame-threads": "3",
        "aq-mode": "3",
        "aq-strength": "0.8",
        "sao": "0",
        "deblock": "-1,-1",
        "colorprim": colour["primaries"],
        "transfer": colour["transfer"],
        "colormatrix": colour["matrix"],
        "range": "full" if colour["range"] == "pc" else "limited",
    }
    unknown = [key for key, value in options.items() if value == "unknown"]
    return ":".join(f"{key}={value}" for key, value in options.items() if key not in unknown)


def _timescale(rate: Fraction) -> int:
    """A track time scale in which a frame lasts a whole number of ticks."""
    scale = rate.numerator
    while scale < 1000:
        scale *= 10
    return scale
