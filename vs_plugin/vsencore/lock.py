"""A result's light and colour held to its source's: any two clips of the same show."""

import vapoursynth as vs

from .arguments import check_clip, check_number

__all__ = ["lock"]

# A cell that is compared has four pixels of the source, and one of the clip at least.
_MOST = 4


def lock(
    clip: vs.VideoNode, source: vs.VideoNode, strength: float = 1.0, *, device: str = "auto"
) -> vs.VideoNode:
    """Give a result the low band and the colours of its source, frame by frame, without a halo.

    Whatever made the result (a learned model, filters of others), what it changed of the stage's
    light and of the colour on a face is taken back; its detail stays. Compared is what is larger
    than some pixels of the source, and only as far as it stands out of the source's noise.
    `remaster` does it by itself, inside its chain.

    Args:
        clip: The result, constant; YUV or Gray of 8 to 16 bit integers, whole frames.
        source: What it was made of, the same view, at most four times as wide and high; any YUV
            or, for a Gray result, Gray. As many frames as the result. Of an interlaced one
            (_FieldBased of its first frame) each field is a moment: the result has twice as many
            frames, or those of first fields.
        strength: 1 locks, 0 gives the result back as it came, the same samples.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Returns:
        The result, its format and properties what they were.

    Raises:
        vs.Error: A wrong argument, or clips that do not belong together.
    """
    check_clip("lock", clip)
    _check_source(source)
    check_number("lock", "strength", strength, 0, 1)
    if clip.get_frame(0).props.get("_FieldBased", 0):
        raise vs.Error("lock: clip must hold whole frames, and its first frame is flagged as two")
    if source.width > _MOST * clip.width or source.height > _MOST * clip.height:
        raise vs.Error(
            f"lock: source must be at most {_MOST} times as large as clip,"
            f" {clip.width}x{clip.height}, not {source.width}x{source.height}"
        )
    if source.format.color_family != clip.format.color_family:
        raise vs.Error(
            f"lock: source must be as clip, {clip.format.name}, not {source.format.name}"
        )
    moments = _moments(clip, source)
    if strength == 0:
        return clip
    from .engine.bridge import finish  # brings torch, which others do without
    from .low_band import LockStage

    try:
        return finish(clip, [LockStage(strength)], source=moments, device=device)
    except vs.Error as error:
        raise vs.Error(f"lock: {str(error).removeprefix('finish: ')}") from error


def _check_source(source: vs.VideoNode) -> None:
    try:
        check_clip("lock", source)
    except vs.Error as error:
        raise vs.Error(str(error).replace("lock: clip", "lock: source", 1)) from error


def _moments(clip: vs.VideoNode, source: vs.VideoNode) -> vs.VideoNode:
    """The source's frames or fields, one for each frame of the result."""
    flag = source.get_frame(0).props.get("_FieldBased", 0)
    if not flag:
        if source.num_frames == clip.num_frames:
            return source
        raise vs.Error(
            f"lock: source has {source.num_frames} frames, and clip {clip.num_frames}; they must"
            " be the same moments"
        )
    if source.format.subsampling_h > 1 or source.height % (2 << source.format.subsampling_h):
        raise vs.Error("lock: source is interlaced, and its planes cannot be parted into fields")
    if clip.num_frames not in (source.num_frames, 2 * source.num_frames):
        raise vs.Error(
            f"lock: source has {source.num_frames} frames of two fields, and clip"
            f" {clip.num_frames}; it must have one for each frame or each field"
        )
    fields = source.std.SeparateFields(tff=flag == 2)
    return fields if clip.num_frames == 2 * source.num_frames else fields[::2]
