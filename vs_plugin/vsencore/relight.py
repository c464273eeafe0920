"""Dim light lifted, and the highlights of lamps opened, with the show's night left night."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vapoursynth as vs

from .arguments import check_clip, check_number
from .colour import read_colour

if TYPE_CHECKING:
    from .tone import State

__all__ = ["relight"]

# Transfers whose samples are light to a power, or nearly (sRGB): of H.273 table 3.
_POWERS = {1, 4, 5, 6, 7, 13, 14, 15}


def relight(
    clip: vs.VideoNode,
    shadows: float = 0.0,
    highlights: float = 0.0,
    light: str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
    device: str = "auto",
    format: int | None = None,
) -> vs.VideoNode:
    """Show more of what the dark hides, by an edge-aware tone curve of light.

    Hue and saturation are kept, and so are black (letterbox, the night between lamps) and what is
    clipped. Detail is lifted with the light it lies in; noise is not. One curve serves a whole
    light of the show, so that nothing pumps when lamps flash; without `light` it is the same
    for all frames. It belongs behind `remaster` and `lock`, which would undo it.

    Args:
        clip: Constant; YUV or Gray of 8 to 16 bit integers, whole frames, SDR.
        shadows: 0 (nothing) to 1: coded values of the dark are at most doubled. Little is much.
        highlights: 0 (nothing) to 1: what is bright and not clipped loses a tenth at most,
            so that it stands out of what is clipped.
        light: The show's light states: what `encore scan` wrote as the light's timeline (a path,
            or that file's content, whose frames are spread over the clip's), or a list of
            {"first": frame, "last": frame, "p05": ..., "p50": ...} in the clip's own frames, with
            percentiles of linear luminance 0..1, and "cut": False where the state begins
            inside a shot: there curves go over into each other within 8 frames.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        format: A YUV or Gray integer format of VapourSynth; None is the clip's own.

    Returns:
        The same size and properties. With nothing asked for it is the clip, the same samples.

    Raises:
        vs.Error: A wrong argument, or a light that cannot be read.
    """
    check_clip("relight", clip)
    check_number("relight", "shadows", shadows, 0, 1)
    check_number("relight", "highlights", highlights, 0, 1)
    if clip.get_frame(0).props.get("_FieldBased", 0):
        raise vs.Error("relight: clip must hold whole frames; deinterlace it first")
    clip, bits = _in_format(clip, format)
    if not shadows and not highlights:
        return clip if bits == clip.format.bits_per_sample else _shallow(clip, bits)
    transfer = read_colour(clip).transfer
    if transfer not in _POWERS:
        raise vs.Error(f"relight: clip must be SDR video, and its transfer is {transfer}")
    states = _states(light, clip.num_frames)
    from .engine.bridge import finish  # brings torch, which others do without
    from .tone import RelightStage

    stage = RelightStage(shadows, highlights, states)
    try:
        return finish(clip, [stage], bits=bits, device=device)
    except vs.Error as error:
        raise vs.Error(f"relight: {str(error).removeprefix('finish: ')}") from error


def _in_format(clip: vs.VideoNode, format: int | None) -> tuple[vs.VideoNode, int]:
    """The clip in a format's family and subsampling, and the bits that it is to have."""
    if format is None or format == clip.format.id:
        return clip, clip.format.bits_per_sample
    try:
        wanted = vs.core.get_video_format(format)
    except vs.Error as error:
        raise vs.Error(f"relight: format is unknown: {error}") from error
    integer = wanted.sample_type == vs.INTEGER and wanted.bits_per_sample <= 16
    if not integer or wanted.color_family not in (vs.YUV, vs.GRAY):
        raise vs.Error(f"relight: format must be YUV or Gray integers, not {wanted.name}")
    deep = max(wanted.bits_per_sample, clip.format.bits_per_sample)
    given = wanted.replace(bits_per_sample=deep)
    return clip.resize.Spline36(format=given.id), wanted.bits_per_sample


def _shallow(clip: vs.VideoNode, bits: int) -> vs.VideoNode:
    target = clip.format.replace(bits_per_sample=bits)
    return clip.resize.Point(format=target.id, dither_type="ordered")


def _states(
    light: str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Any] | None, frames: int
) -> "tuple[State, ...]":
    if light is None:
        return ()
    from .tone import states_of

    told: object = light
    if isinstance(light, str | Path):
        try:
            told = json.loads(Path(light).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise vs.Error(f"relight: light cannot be read: {error}") from error
    try:
        if isinstance(told, Mapping):
            if "states" not in told:
                raise ValueError("it has no states, so it is no timeline of light")
            whole = int(told.get("whole") or told["frames"])
            return states_of(told["states"], frames / whole, int(told.get("first", 0)))
        if not isinstance(told, Sequence):
            raise ValueError(f"it is {type(told).__name__}, not a path or a list of states")
        return states_of(told)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise vs.Error(f"relight: light cannot be read: {error}") from error
