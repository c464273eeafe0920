"""Checks of what a caller passed: every refusal is one `vs.Error` line in the same form.

`deinterlace: method must be "qtgmc" or "bwdif", not "qtgm" (did you mean "qtgmc"?)`: which filter,
which argument, what it may be, what it was.
"""

from collections.abc import Sequence
from difflib import get_close_matches

import vapoursynth as vs

__all__ = ["check_choice", "check_clip", "check_number", "check_progressive", "check_whole"]


def check_clip(name: str, clip: vs.VideoNode, *, rgb: bool = False) -> None:
    """Refuse all but a YUV or Gray clip of 8 to 16 bit integers, constant in format and size.

    `rgb` lets an RGB clip pass too.
    """
    if not isinstance(clip, vs.VideoNode):
        raise vs.Error(f"{name}: clip must be a VapourSynth video clip, not {type(clip).__name__}")
    if not clip.format or clip.format.color_family == vs.UNDEFINED:
        raise vs.Error(f"{name}: clip must have a constant format; this one's format varies")
    if not clip.width or not clip.height:
        raise vs.Error(f"{name}: clip must have a constant size; this one's size varies")
    if clip.format.color_family not in ((vs.YUV, vs.GRAY, vs.RGB) if rgb else (vs.YUV, vs.GRAY)):
        families = "YUV, Gray or RGB" if rgb else "YUV or Gray"
        raise vs.Error(f"{name}: clip must be {families}, not {clip.format.name}")
    if clip.format.sample_type != vs.INTEGER or clip.format.bits_per_sample > 16:
        raise vs.Error(
            f"{name}: clip must hold integers of 8 to 16 bits, not {clip.format.name};"
            " convert it with resize.Point first"
        )


def check_progressive(name: str, clip: vs.VideoNode) -> None:
    """Refuse a clip whose first frame is flagged as two fields: its lines belong to two moments."""
    if clip.get_frame(0).props.get("_FieldBased", 0):
        raise vs.Error(
            f"{name}: clip must be progressive, and its first frame is flagged interlaced;"
            " deinterlace it first, or set _FieldBased to 0 if the flag is wrong"
        )


def check_choice(name: str, argument: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is not one of `allowed`, and name the nearest."""
    if isinstance(value, str) and value in allowed:
        return
    quoted = [f'"{word}"' for word in allowed]
    choices = " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
    near = get_close_matches(value, allowed, n=1) if isinstance(value, str) else []
    hint = f' (did you mean "{near[0]}"?)' if near else ""
    raise vs.Error(f"{name}: {argument} must be {choices}, not {_shown(value)}{hint}")


def check_number(name: str, argument: str, value: float, low: float, high: float) -> None:
    """Refuse what is not a number from `low` to `high`, both included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise vs.Error(
            f"{name}: {argument} must be a number from {low} to {high}, not {_shown(value)}"
        )
    if not low <= value <= high:
        raise vs.Error(f"{name}: {argument} must be from {low} to {high}, not {value}")


def check_whole(
    name: str, argument: str, value: int, low: int, high: int, *, even: bool = False
) -> None:
    """Refuse what is not a whole (if asked, even) number from `low` to `high`, both included."""
    kind = "an even number" if even else "a whole number"
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not low <= value <= high or (even and value % 2):
        raise vs.Error(
            f"{name}: {argument} must be {kind} from {low} to {high}, not {_shown(value)}"
        )


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value) if isinstance(value, int | float) else type(value).__name__
