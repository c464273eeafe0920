"""Writes what each method makes of a real recording, side by side, to be looked at at full size.

    sh scripts/run python scripts/bench/real.py FILE --out SHEET.png [--frame 40] [--height 1080]
        [--at LEFT,TOP] [--weights NAME_OR_FILE ...] [--grain 0.3 ...]

There is no truth, so nothing is measured. `encore scan` says whether the recording has fields; the
frame is one of the result, at the double rate where there are fields. At each place of 480x360
pixels: fields (or frames) enlarged by a cubic, bwdif and Lanczos, QTGMC with degrain and NNEDI3,
and ours.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import vapoursynth as vs
from PIL import Image
from sheets import sheet

import vsencore
from encore.facts import PictureFacts
from encore.preset import Preset
from encore.progress import reporter
from encore.scan import scan
from encore.script import picture_script

__all__: list[str] = []

_WIDE, _TALL = 480, 360
_CLASSICAL = "clip = vsencore.deinterlace", "clip = vsencore.restore", "clip = vsencore.upscale"

type Chain = Callable[[vs.VideoNode], vs.VideoNode]


def main() -> int:
    """Write the sheet; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frame", type=int, default=40)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--at", type=_place, help="left,top of the crop; the middle by default")
    parser.add_argument("--weights", action="append")
    parser.add_argument("--grain", action="append", type=float)
    given = parser.parse_args()
    found = scan(given.file, reporter=reporter("none"))
    picture = found.picture
    if picture is None:
        raise SystemExit(f"{given.file} has no picture")
    script = picture_script(found, Preset())
    lines = [line for line in script.splitlines() if not line.startswith(_CLASSICAL)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.vpy"
        path.write_text("\n".join(lines))
        names: dict[str, object] = {}
        exec(compile(path.read_text(), str(path), "exec"), names)  # our own script, just written
    clip = names["clip"]
    assert isinstance(clip, vs.VideoNode)
    around = _around(clip, given.frame, picture.structure == "interlaced")
    weights, grains = given.weights or ["base"], given.grain or [0.0]
    chains = _classical(picture, given.height)
    for one in weights:
        for grain in grains:
            chains[f"ours: {Path(one).stem}, grain {grain:g}"] = _ours(one, grain, given.height)
    shown = []
    for name, chain in chains.items():
        frame = chain(around[0]).get_frame(around[1])
        shown.append((name, _crop(frame, given.at)))
    title = f"{given.file.name}, frame {given.frame}, {picture.structure}"
    sheet(shown, title).save(given.out)
    return 0


def _place(text: str) -> tuple[int, int]:
    left, top = text.split(",")
    return int(left), int(top)


def _around(clip: vs.VideoNode, frame: int, fields: bool) -> tuple[vs.VideoNode, int]:
    """A short part of the clip with the frame's source in it, and the frame's number there."""
    source = frame // 2 if fields else frame
    first = max(0, source - 12)
    part = clip[first : source + 13]
    return part, frame - (2 * first if fields else first)


def _classical(picture: PictureFacts, height: int) -> dict[str, Chain]:
    if picture.structure == "interlaced":
        return {
            "fields, cubic": lambda clip: vsencore.remaster(clip, height, strength=0),
            "bwdif + lanczos": lambda clip: vsencore.upscale(
                vsencore.deinterlace(clip, "bwdif"), height, "lanczos"
            ),
            "qtgmc + degrain + nnedi3": lambda clip: vsencore.upscale(
                vsencore.restore(vsencore.deinterlace(clip), 0.5), height
            ),
        }
    return {
        "frames, cubic": lambda clip: vsencore.remaster(clip, height, strength=0),
        "lanczos": lambda clip: vsencore.upscale(clip, height, "lanczos"),
        "degrain + nnedi3": lambda clip: vsencore.upscale(vsencore.restore(clip, 0.5), height),
    }


def _ours(weights: str, grain: float, height: int) -> Chain:
    return lambda clip: vsencore.remaster(clip, height, model=weights, grain=grain)


def _crop(frame: vs.VideoFrame, at: tuple[int, int] | None) -> Image.Image:
    node = vs.core.std.BlankClip(
        width=frame.width, height=frame.height, format=frame.format.id, length=1, keep=True
    )
    whole = node.std.ModifyFrame(node, lambda n, f: frame)
    left, top = at or ((frame.width - _WIDE) // 2, (frame.height - _TALL) // 2)
    right, bottom = frame.width - left - _WIDE, frame.height - top - _TALL
    part = whole.std.Crop(left=left & ~1, right=right & ~1, top=top & ~1, bottom=bottom & ~1)
    rgb = part.resize.Bicubic(format=vs.RGB24).get_frame(0)
    return Image.fromarray(np.stack([np.asarray(rgb[n]) for n in range(3)], -1))


if __name__ == "__main__":
    sys.exit(main())
