"""The canvas that field and motion filters work on: 16 bit, and a size they can handle.

QTGMC and the block matcher refuse pictures smaller than a few blocks, heights that do not part
into whole fields in every plane, and 4:1:1. A canvas is the source deepened to 16 bit (8-bit steps
would be rounded once per filter), with 4:1:1 widened to 4:2:2, and extended at the right and the
bottom; `crop` takes the extension off again.
"""

import vapoursynth as vs

__all__ = ["crop", "deepen", "extend", "split"]

# Four 16-pixel blocks a side: the block matcher's pyramid needs two levels of at least one block.
SMALLEST_PX = 64


def deepen(clip: vs.VideoNode) -> vs.VideoNode:
    """Give the clip at 16 bit, 4:1:1 as 4:2:2; the lines stay where they are, fields or not."""
    source = clip.format
    # resize would part the lines of a flagged frame itself, and refuse heights that are not a
    # multiple of 4; nothing here mixes lines, so the flag is set aside and restored.
    flags = clip.std.RemoveFrameProps("_FieldBased")
    target = vs.core.query_video_format(
        source.color_family, vs.INTEGER, 16, min(source.subsampling_w, 1), source.subsampling_h
    )
    deep = flags.resize.Spline36(format=target.id)
    return deep.std.CopyFrameProps(clip, props=["_FieldBased"])


def extend(clip: vs.VideoNode) -> vs.VideoNode:
    """Extend to a multiple of 8 and at least 64 pixels a side, at the right and the bottom.

    The last column and the last two lines are repeated: two, so that each new line continues
    its own field.
    """
    wide = max(SMALLEST_PX, -(-clip.width // 8) * 8)
    high = max(SMALLEST_PX, -(-clip.height // 8) * 8)
    if (wide, high) == (clip.width, clip.height):
        return clip
    source = clip.format
    planes = [
        _extend_plane(
            plane,
            wide >> (source.subsampling_w if index else 0),
            high >> (source.subsampling_h if index else 0),
        )
        for index, plane in enumerate(split(clip))
    ]
    if len(planes) == 1:
        return planes[0]
    return vs.core.std.ShufflePlanes(planes, [0, 0, 0], vs.YUV, prop_src=clip)


def crop(clip: vs.VideoNode, width: int, height: int) -> vs.VideoNode:
    """Take an extension off again."""
    if (clip.width, clip.height) == (width, height):
        return clip
    return clip.std.Crop(right=clip.width - width, bottom=clip.height - height)


def split(clip: vs.VideoNode) -> list[vs.VideoNode]:
    """Give each plane as a Gray clip: a list for Gray too, where std.SplitPlanes gives a clip."""
    planes = range(clip.format.num_planes)
    return [clip.std.ShufflePlanes(plane, vs.GRAY) for plane in planes]


def _extend_plane(plane: vs.VideoNode, width: int, height: int) -> vs.VideoNode:
    if more := width - plane.width:
        column = plane.std.Crop(left=plane.width - 1)
        plane = vs.core.std.StackHorizontal([plane, *[column] * more])
    if more := height - plane.height:
        lines = plane.std.Crop(top=max(0, plane.height - 2))
        repeats = -(-more // lines.height)
        tall = vs.core.std.StackVertical([plane, *[lines] * repeats])
        plane = tall.std.Crop(bottom=tall.height - height)
    return plane
