"""Noise taken out: along the motion by block matching, or by the network for frames."""

from typing import cast

import vapoursynth as vs

from .arguments import check_choice, check_clip, check_number, check_progressive
from .canvas import crop, deepen, extend

__all__ = ["restore"]

# At strength 1, the difference per 8x8 block (of 8-bit steps, summed) beyond which a neighbour's
# block has no weight. It is taken on blurred pictures, where noise of 8 steps leaves about 150.
STRONGEST_SAD = 400
# A neighbour that differs by more than 180 in more than 38.5 of 100 blocks is beyond a cut (or in
# a flash) and has no weight anywhere. MVTools' own 400 and 51 miss cuts between dark scenes.
CUT = (180, 38.5)


def restore(
    clip: vs.VideoNode,
    strength: float = 0.5,
    method: str = "degrain",
    *,
    grain: float = 0.0,
    model: str = "base",
    device: str = "auto",
) -> vs.VideoNode:
    """Take noise out of whole frames.

    "degrain" averages each block with where it was, two frames each way. A block counts by how well
    it matches, so noise is averaged and what the neighbours do not hold (a gesture, a flash, a
    changed lamp) stays as it is; nothing is sharpened. Neighbours beyond a cut do not count. Half
    strength leaves about a third of the noise's power: grain that is gone altogether takes the
    skin's own texture with it.

    "framenet" is the network that `remaster` runs on frames, its result brought back to the clip's
    own size: noise and compression damage go together. Its strength is the share of its result in
    a mixture with the source.

    Args:
        clip: Progressive, constant; YUV or Gray of 8 to 16 bit integers.
        strength: 0 (off: the very same clip comes back) to 1 (for heavy tape noise).
        method: "degrain", vs-jetpack's mc_degrain over MVUtensils, or "framenet".
        grain: For "framenet": 0 (none) to 1 (all) of the grain that it took out is given back.
        model: For "framenet": "base", or a file of weights.
        device: For "framenet": "auto", "cpu", "cuda", "cuda:N" or "mps".

    Returns:
        The same size, length and properties at 16 bit, in the same subsampling but for 4:1:1,
        which becomes 4:2:2. "framenet" writes limited range, and the scene properties besides.

    Raises:
        vs.Error: A wrong argument, or an interlaced clip.
    """
    check_clip("restore", clip)
    check_number("restore", "strength", strength, 0, 1)
    check_choice("restore", "method", method, ("degrain", "framenet"))
    check_number("restore", "grain", grain, 0, 1)
    if strength == 0:
        return clip
    check_progressive("restore", clip)
    if clip.format.subsampling_h > 1:
        raise vs.Error(
            f"restore: clip must have chroma at every line or every second, not {clip.format.name}"
        )
    if method == "framenet":
        return _network(clip.std.SetFieldBased(0), strength, grain, model, device)
    cleaned = _degrain(extend(deepen(clip)), strength)
    return crop(cleaned, clip.width, clip.height).std.CopyFrameProps(clip)


def _network(
    source: vs.VideoNode, strength: float, grain: float, model: str, device: str
) -> vs.VideoNode:
    from .learned import cleaned  # brings torch, which the classical way does without

    made = cleaned("restore", source, "frames", model=model, device=device, grain=grain)
    if strength == 1:
        return made
    # The source in the network's range and siting, so that like is mixed with like.
    same = deepen(source).resize.Spline36(format=made.format.id, range=0, chromaloc=vs.CHROMA_LEFT)
    return made.std.Merge(same, weight=1 - strength)


def _degrain(canvas: vs.VideoNode, strength: float) -> vs.VideoNode:
    from vsdenoise import mc_degrain  # half a second of imports that strength 0 does without

    cleaned = mc_degrain(
        canvas, prefilter=_search, tr=2, thsad=round(STRONGEST_SAD * strength), thscd=CUT
    )
    # The share of the noise that goes: a root, so that a small strength is already seen.
    return canvas.std.Merge(cast(vs.VideoNode, cleaned), weight=strength**0.5)


def _search(canvas: vs.VideoNode) -> vs.VideoNode:
    """Give the pictures in which blocks are compared: blurred, with the dark parts stretched.

    Unblurred, noise of 4 steps alone differs by more than a cut does, and nothing would be done.
    """
    from vsdenoise import prefilter_to_full_range

    blurred = canvas.std.BoxBlur(hradius=2, hpasses=2, vradius=2, vpasses=2)
    return cast(vs.VideoNode, prefilter_to_full_range(blurred))
