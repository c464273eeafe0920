"""Facts of a recording, under FFmpeg's names, written where VapourSynth's filters look for them.

The codes are those of ITU-T H.273 (tables 2, 3 and 4), which VapourSynth's `_Matrix`, `_Transfer`,
`_Primaries` and, since release 74, `_Range` carry.
"""

from collections.abc import Mapping

import vapoursynth as vs

from .arguments import check_choice

__all__ = ["tag"]

MATRICES = {
    "bt709": 1,
    "unknown": 2,
    "fcc": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "ycgco": 8,
    "bt2020nc": 9,
    "bt2020c": 10,
}
TRANSFERS = {
    "bt709": 1,
    "unknown": 2,
    "bt470m": 4,
    "gamma22": 4,
    "bt470bg": 5,
    "gamma28": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "linear": 8,
    "iec61966-2-4": 11,
    "iec61966-2-1": 13,
    "bt2020-10": 14,
    "bt2020-12": 15,
    "smpte2084": 16,
    "arib-std-b67": 18,
}
PRIMARIES = {
    "bt709": 1,
    "unknown": 2,
    "bt470m": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "film": 8,
    "bt2020": 9,
    "smpte428": 10,
    "smpte431": 11,
    "smpte432": 12,
    "ebu3213": 22,
}
RANGES = {"tv": 0, "limited": 0, "pc": 1, "full": 1}
CHROMA_LOCATIONS = {
    "left": 0,
    "center": 1,
    "topleft": 2,
    "top": 3,
    "bottomleft": 4,
    "bottom": 5,
}
FIELD_ORDERS = {"progressive": 0, "bottom": 1, "top": 2}


def tag(
    clip: vs.VideoNode,
    matrix: str | None = None,
    transfer: str | None = None,
    primaries: str | None = None,
    range: str | None = None,
    chroma_location: str | None = None,
    field_order: str | None = None,
    sample_aspect: tuple[int, int] | None = None,
) -> vs.VideoNode:
    """Write facts into the frame properties; no sample is changed, and None leaves a fact as it is.

    Args:
        clip: Any video clip.
        matrix: FFmpeg's colour space name: "bt709", "bt470bg", "smpte170m", "bt2020nc", ...
        transfer: "bt709", "smpte170m", "bt470bg" (or "gamma28"), "iec61966-2-1", ...
        primaries: "bt709", "bt470bg", "smpte170m", "bt2020", ...
        range: "tv" (16 to 235 at 8 bit) or "pc" (0 to 255).
        chroma_location: "left", "center", "topleft", "top", "bottomleft" or "bottom".
        field_order: "progressive", "top" or "bottom": which field comes first in time.
        sample_aspect: The shape of a pixel, width and height, such as (64, 45).

    Raises:
        vs.Error: An unknown name (the message lists the known ones), or an aspect that is not two
            whole numbers above 0.
    """
    if not isinstance(clip, vs.VideoNode):
        raise vs.Error(f"tag: clip must be a VapourSynth video clip, not {type(clip).__name__}")
    codes = {
        "_Matrix": _code("matrix", matrix, MATRICES),
        "_Transfer": _code("transfer", transfer, TRANSFERS),
        "_Primaries": _code("primaries", primaries, PRIMARIES),
        "_Range": _code("range", range, RANGES),
        "_ChromaLocation": _code("chroma_location", chroma_location, CHROMA_LOCATIONS),
        "_FieldBased": _code("field_order", field_order, FIELD_ORDERS),
    }
    if sample_aspect is not None:
        codes["_SARNum"], codes["_SARDen"] = _aspect(sample_aspect)
    known = {name: code for name, code in codes.items() if code is not None}
    return clip.std.SetFrameProps(**known) if known else clip


def _code(argument: str, name: str | None, codes: Mapping[str, int]) -> int | None:
    if name is None:
        return None
    check_choice("tag", argument, name, list(codes))
    return codes[name]


def _aspect(value: tuple[int, int]) -> tuple[int, int]:
    match value:
        case (int(width), int(height)) if width > 0 and height > 0:
            return width, height
    raise vs.Error(f"tag: sample_aspect must be two whole numbers above 0, not {value!r}")
