"""Fields made whole frames: two moments a frame unwoven, or the frames of a film found again."""

from typing import cast

import vapoursynth as vs

from .arguments import check_choice, check_clip
from .canvas import crop, deepen, extend

__all__ = ["deinterlace", "inverse_telecine", "top_field_first"]


def deinterlace(
    clip: vs.VideoNode,
    method: str = "qtgmc",
    rate: str = "double",
    tff: bool | None = None,
    model: str = "base",
    device: str = "auto",
) -> vs.VideoNode:
    """Make whole frames of fields, each at the time and the place of its own field.

    Frame 2n of a double-rate result is the first field of frame n, 2n + 1 the second; "single"
    keeps the first. Each field's lines stay where they are and the missing ones are made, in every
    plane by itself: interlaced 4:2:0 chroma lies in its field as luma does, so nothing shifts.

    "qtgmc" is vs-jetpack's QTempGaussMC, tuned to keep the atmosphere: the source's own lines are
    put back before the last smoothing and nothing is sharpened. "bwdif" is many times faster.
    "fieldnet" is the network that `remaster` runs, its result brought back to the clip's own size:
    noise and compression damage go as well.

    Args:
        clip: Interlaced, constant; YUV or Gray of 8 to 16 bit integers, at least 2 lines.
        method: "qtgmc", "bwdif" or "fieldnet".
        rate: "double", a frame for each field, or "single", a frame for each frame.
        tff: Whether the top field comes first; None reads _FieldBased of the first frame.
        model: For "fieldnet": "base", or a file of weights.
        device: For "fieldnet": "auto", "cpu", "cuda", "cuda:N" or "mps".

    Returns:
        The same size at 16 bit, in the same subsampling but for 4:1:1, which becomes 4:2:2; of
        "fieldnet" limited range, chroma left-sited, the scene properties of `remaster` written.
        Frame durations and rate are true, _FieldBased is 0, other properties are the source's.

    Raises:
        vs.Error: A wrong argument, or a field order that is neither given nor flagged.
    """
    check_clip("deinterlace", clip)
    check_choice("deinterlace", "method", method, ("qtgmc", "bwdif", "fieldnet"))
    check_choice("deinterlace", "rate", rate, ("double", "single"))
    top_first = top_field_first("deinterlace", clip, tff)
    _check_fields("deinterlace", clip)

    flagged = clip.std.SetFieldBased(2 if top_first else 1)
    if method == "fieldnet":
        from .learned import cleaned, first_fields  # brings torch, which others do without

        made = cleaned("deinterlace", flagged, "fields", model=model, device=device)
        return made if rate == "double" else first_fields(clip, made)
    canvas = extend(deepen(flagged))
    bob = _qtgmc if method == "qtgmc" else _bwdif
    frames = crop(bob(canvas, top_first), clip.width, clip.height)
    # QTGMC leaves each frame the duration of two; Interleave halves it, frame by frame.
    timed = frames.std.CopyFrameProps(vs.core.std.Interleave([clip, clip]))
    timed = timed.std.SetFieldBased(0)
    return timed if rate == "double" else timed.std.SelectEvery(2, [0])


def inverse_telecine(clip: vs.VideoNode, tff: bool | None = None) -> vs.VideoNode:
    """Find the frames of a film in its 3:2 fields: five frames of 29.97 give four of 23.976.

    VIVTC matches each field with the neighbour it was one picture with, and drops the frame in
    five that repeats. A frame that stays combed whatever the match (an edit on video, a title) is
    deinterlaced by bwdif.

    Args:
        clip: Telecined, constant; YUV or Gray of 8 to 16 bit integers, at least 2 lines.
        tff: Whether the top field comes first; None reads _FieldBased of the first frame.

    Returns:
        The same size at 16 bit (4:1:1 becomes 4:2:2) and 4/5 of the rate; _FieldBased is 0.

    Raises:
        vs.Error: A wrong argument, or a field order that is neither given nor flagged.
    """
    check_clip("inverse_telecine", clip)
    top_first = top_field_first("inverse_telecine", clip, tff)
    _check_fields("inverse_telecine", clip)

    canvas = extend(deepen(clip.std.SetFieldBased(2 if top_first else 1)))
    matched = _shallow(canvas).vivtc.VFM(order=int(top_first), clip2=canvas)
    whole = _bwdif(canvas, top_first).std.SelectEvery(2, [0])

    def choose(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        return whole if f.props.get("_Combed") else matched

    clean = matched.std.FrameEval(choose, prop_src=[matched])
    decimated = _shallow(clean).vivtc.VDecimate(clip2=clean)
    decimated = crop(decimated, clip.width, clip.height).std.SetFieldBased(0)
    # VIVTC's own notes, some of which (_Combed) are no longer true.
    decimated = decimated.std.RemoveFrameProps(["VFM*", "VDecimate*", "_Combed"])
    if not clip.fps:
        return decimated
    fps = clip.fps * 4 / 5
    return decimated.std.AssumeFPS(fpsnum=fps.numerator, fpsden=fps.denominator)


def top_field_first(name: str, clip: vs.VideoNode, tff: bool | None) -> bool:
    """Tell whether the top field comes first: as given, or as the first frame is flagged."""
    if tff is not None:
        if not isinstance(tff, bool):
            raise vs.Error(f"{name}: tff must be True, False or None, not {tff!r}")
        return tff
    flag = clip.get_frame(0).props.get("_FieldBased")
    if flag == 0:
        raise vs.Error(
            f"{name}: clip is flagged progressive (_FieldBased is 0);"
            " if it holds fields all the same, pass tff=True (top field first) or tff=False"
        )
    if flag not in (1, 2):
        raise vs.Error(
            f"{name}: clip does not tell its field order (_FieldBased is missing);"
            " pass tff=True (top field first) or tff=False"
        )
    return bool(flag == 2)


def _check_fields(name: str, clip: vs.VideoNode) -> None:
    if clip.format.subsampling_h > 1:
        raise vs.Error(
            f"{name}: clip must have chroma at every line or every second, not {clip.format.name}"
        )
    if clip.height < 2:
        raise vs.Error(f"{name}: clip must have at least 2 lines, not {clip.height}")


def _qtgmc(canvas: vs.VideoNode, top_first: bool) -> vs.VideoNode:
    from vsdeinterlace import QTempGaussMC  # half a second of imports that bwdif does without

    # Against true frames made interlaced (three films, 30 to 60 a second, one a dark stage) this
    # is 1.0 to 2.3 dB nearer than QTempGaussMC's defaults, which sharpen and smooth more, at no
    # less speed; its source matching comes as near (-0.4 to +0.6 dB) at half the speed.
    engine = QTempGaussMC(
        basic_tr=1,
        sharpen_strength=0,
        lossless_mode=QTempGaussMC.LosslessMode.PRESHARPEN,
    )
    return cast(vs.VideoNode, engine.bob(canvas, tff=top_first))


def _bwdif(canvas: vs.VideoNode, top_first: bool) -> vs.VideoNode:
    return canvas.bwdif.Bwdif(field=3 if top_first else 2)


def _shallow(clip: vs.VideoNode) -> vs.VideoNode:
    """Give what VIVTC's metrics look at: 8 bit, the flag set aside so that no line moves."""
    target = vs.core.query_video_format(
        clip.format.color_family,
        vs.INTEGER,
        8,
        clip.format.subsampling_w,
        clip.format.subsampling_h,
    )
    return clip.std.RemoveFrameProps("_FieldBased").resize.Point(format=target.id)
