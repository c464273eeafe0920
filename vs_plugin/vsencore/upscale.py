"""A larger picture of square pixels, in the colour of its new size."""

import vapoursynth as vs

from .arguments import check_choice, check_clip, check_progressive, check_whole
from .canvas import split
from .colour import convert, read_colour, wanted_colour, write_colour
from .geometry import doublings, sample_aspect, square_width

__all__ = ["upscale"]


def upscale(
    clip: vs.VideoNode,
    height: int = 1080,
    method: str = "nnedi3",
    width: int | None = None,
    crop_edges: int = 0,
    matrix: str = "auto",
    format: int | None = None,
    model: str | None = None,
    device: str = "auto",
) -> vs.VideoNode:
    """Scale to `height` lines of square pixels, and turn SD colour to BT.709 where that is due.

    Colour is converted first, at the source's size and 16 bit; then each plane is scaled from its
    own samples, and the result is rounded once, with a dither that stays still. "nnedi3" doubles
    luma until it is large enough and brings it to size with Spline36; chroma, which holds no edges
    that luma does not show, is scaled by Spline36. "lanczos" scales all with Lanczos, 4 lobes.
    "framenet" is the network that `remaster` runs on frames, which also cleans them. "model" runs a
    single-frame model on the device, and brings what it gives to size there.

    Args:
        clip: Progressive, constant; YUV or Gray of 8 to 16 bit integers.
        height: Lines of the result, even, 16 to 8640; fewer than the source's is fine.
        method: "nnedi3", "lanczos", "framenet" or "model".
        width: Columns of the result, even; None keeps the shape that the sample aspect
            (_SARNum and _SARDen of the first frame, 1:1 where missing) gives the picture.
        crop_edges: Columns taken off left and right first: analogue blanking, usually 8. For
            "framenet" whole samples of chroma.
        matrix: "auto" (SD colour becomes BT.709 above 576 lines), "keep", or "709". What a clip
            does not tell of its colour is guessed from its size and rate; see `colour`.
        format: A YUV or Gray integer format of VapourSynth; None is YUV420P10, or GRAY10 for Gray.
        model: For "model": a name that `encore models list` knows, or a file spandrel reads. For
            "framenet": a file of weights; None is "base".
        device: For "framenet" and "model": "auto", "cpu", "cuda", "cuda:N" or "mps".

    Returns:
        The scaled clip, limited range, chroma left-sited; _Matrix, _Transfer, _Primaries, _Range,
        _ChromaLocation, _SARNum and _SARDen are true for it, other properties are the source's.

    Raises:
        vs.Error: A wrong argument, or an interlaced clip.
    """
    check_clip("upscale", clip)
    check_whole("upscale", "height", height, 16, 8640, even=True)
    check_choice("upscale", "method", method, ("nnedi3", "lanczos", "framenet", "model"))
    if method != "framenet" and (method == "model") != (model is not None):
        raise vs.Error('upscale: method "model" goes with a model, by name or path')
    if width is not None:
        check_whole("upscale", "width", width, 16, 16384, even=True)
    check_whole("upscale", "crop_edges", crop_edges, 0, (clip.width - 1) // 2)
    check_choice("upscale", "matrix", matrix, ("auto", "keep", "709"))
    target_format = _target_format(clip, format)
    check_progressive("upscale", clip)

    shown_width = clip.width - 2 * crop_edges
    if width is None:
        width = square_width(shown_width, clip.height, sample_aspect(clip), height)
    if target_format.num_planes > 1 and width % (1 << target_format.subsampling_w):
        raise vs.Error(
            f"upscale: width must be a multiple of {1 << target_format.subsampling_w}"
            f" for {target_format.name}, not {width}"
        )

    clip = clip.std.SetFieldBased(0)
    if method == "framenet":
        from .learned import restored  # brings torch, which the classical ways do without

        return restored(
            "upscale",
            clip,
            "frames",
            height,
            width,
            model=model or "base",
            crop_edges=crop_edges,
            matrix=matrix,
            format=target_format.id,
            device=device,
        ).std.SetFrameProps(_SARNum=1, _SARDen=1)
    if model is not None:
        from .models import model as run

        clip = clip.std.Crop(left=crop_edges, right=crop_edges)
        large = run(
            clip,
            model,
            height=height,
            width=width,
            format=target_format.id,
            matrix=matrix,
            device=device,
        )
        return large.std.SetFrameProps(_SARNum=1, _SARDen=1)
    source = read_colour(clip)
    target = wanted_colour(source, matrix, height)
    if (source, clip.width, clip.height) == (target, width, height) and not crop_edges:
        # Nothing to convert or scale: chroma need not go through 4:4:4 and back.
        scaled = clip if clip.format.color_family == vs.GRAY else write_colour(clip, source)
    else:
        picture = convert(clip, source, target).std.Crop(left=crop_edges, right=crop_edges)
        scaled = _scale(picture, width, height, target_format, method)
    # Ordered: error diffusion would let a change at the top redraw the noise of all below it.
    rounded = scaled.resize.Spline36(
        format=target_format.id, chromaloc=vs.CHROMA_LEFT, dither_type="ordered"
    )
    if not (target_format.subsampling_w or target_format.subsampling_h):
        rounded = rounded.std.RemoveFrameProps("_ChromaLocation")
    return rounded.std.SetFrameProps(_SARNum=1, _SARDen=1)


def _target_format(clip: vs.VideoNode, format: int | None) -> vs.VideoFormat:
    gray = clip.format.color_family == vs.GRAY
    if format is None:
        format = vs.GRAY10 if gray else vs.YUV420P10
    target = vs.core.get_video_format(format) if isinstance(format, int) else None
    if target is None or target.color_family == vs.UNDEFINED:
        raise vs.Error(
            f"upscale: format must be a VapourSynth format, such as vs.YUV420P10, not {format!r}"
        )
    whole = target.sample_type == vs.INTEGER and target.bits_per_sample <= 16
    if target.color_family != clip.format.color_family or not whole or target.subsampling_h > 1:
        family = "Gray" if gray else "YUV"
        raise vs.Error(
            f"upscale: format must be {family} of 8 to 16 bit integers"
            f" for this {family} clip, not {target.name}"
        )
    return target


def _scale(
    picture: vs.VideoNode, width: int, height: int, target: vs.VideoFormat, method: str
) -> vs.VideoNode:
    """Scale a 4:4:4 or Gray picture, its chroma to the target's own size and left-sited."""
    luma, *chroma = split(picture)
    scaled = _scale_luma(luma, width, height, method)
    if not chroma:
        return scaled
    colours = [_scale_chroma(plane, width, height, target, method) for plane in chroma]
    joined = vs.core.std.ShufflePlanes([scaled, *colours], [0, 0, 0], vs.YUV, prop_src=picture)
    return joined.std.SetFrameProps(_ChromaLocation=int(vs.CHROMA_LEFT))


def _scale_luma(plane: vs.VideoNode, width: int, height: int, method: str) -> vs.VideoNode:
    if method == "lanczos":
        return plane.resize.Lanczos(width, height, filter_param_a=4)
    across = doublings(plane.width, width)
    down = doublings(plane.height, height)
    tall = _double_lines(plane, down)
    large = _double_lines(tall.std.Transpose(), across).std.Transpose() if across else tall
    return large.resize.Spline36(
        width, height, src_left=_doubling_shift(across), src_top=_doubling_shift(down)
    )


def _double_lines(plane: vs.VideoNode, times: int) -> vs.VideoNode:
    for _ in range(times):
        # field=1 keeps the old lines as the even ones. On halved and redoubled pictures the 8x6
        # window (nsize 0) is 0.06 to 0.2 dB nearer the truth than 8x4 and wider ones, and a
        # second set of weights (qual 2) adds 0.03 dB at most for a third of the time.
        plane = plane.znedi3.nnedi3(field=1, dh=True, nsize=0, nns=2, qual=1)
    return plane


def _doubling_shift(times: int) -> float:
    """Give where, in pixels of the doubled picture, the old picture's edge has come to lie.

    An old line at place y + 0.5 belongs at 2y + 1 but is kept at 2y + 0.5: each doubling doubles
    the shift before it and adds -0.5.
    """
    return 0.5 * (1 - (1 << times))


def _scale_chroma(
    plane: vs.VideoNode, width: int, height: int, target: vs.VideoFormat, method: str
) -> vs.VideoNode:
    columns = 1 << target.subsampling_w
    # Left-sited: chroma column k lies on luma column k * columns, not in the middle of its group.
    shift = (1 - columns) / 2 * plane.width / width
    size = (width // columns, height >> target.subsampling_h)
    if method == "lanczos":
        return plane.resize.Lanczos(*size, src_left=shift, filter_param_a=4)
    return plane.resize.Spline36(*size, src_left=shift)
