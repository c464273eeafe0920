"""Lock: how near a result's low band is to its source's, and what that costs of its quality.

Results of `remaster` on judged strobe cases, by each of its models and by a made-up model of
others' making that is warmer, paler in the dark and more saturated (on top of ours), are held
against the recording: both blurred (Gaussian, sigma in pixels of the recording), then CIEDE2000,
Sharma et al. 2005, at every fourth pixel of every moment. The truth's own line says how far the
recording's low band is from it by noise and compression: nothing ought to be nearer for its own
sake. Quality is that of `picture.py`.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import judged
import methods
import metrics
import numpy as np
import vapoursynth as vs
from metrics import Film
from numpy.typing import NDArray

import vsencore

__all__ = ["HEAD", "ciede2000", "lab", "rows"]

Floats = NDArray[np.float64]

HEAD = (
    f"{'case':<10}{'result':<22}{'dE s8':>7}{'p99':>6}{'dE s4':>7}{'p99':>6}"
    f"{'PSNR-Y':>9}{'PSNR-UV':>9}{'VMAF':>7}{'NEG':>7}{'temporal':>10}"
)
_CASES = ("juggle 2", "room 1")
_QUICK = ("vivid", "vivid, locked", "a stranger", "a stranger, locked")
_SIGMAS = (8.0, 4.0)
_EVERY = 4
_DROP = 3

# BT.709 and D65 (IEC 61966-2-1): which primaries are taken matters little to a difference.
_TO_XYZ = np.array(
    [
        [0.4123908, 0.3575843, 0.1804808],
        [0.2126390, 0.7151687, 0.0721923],
        [0.0193308, 0.1191948, 0.9505322],
    ]
)


def rows(quick: bool) -> list[str]:
    """A line for each result of each case."""
    return [line for name in _CASES[: 1 if quick else None] for line in _of_case(name, quick)]


def _of_case(name: str, quick: bool) -> Iterator[str]:
    case = next(case for case in judged.CASES if case.name == name)
    moments = 12 if quick else 24
    with tempfile.TemporaryDirectory(prefix="encore-lock-") as place:
        folder = Path(place)
        judged.make(case, moments, judged.data_folder(), folder)
        about = json.loads((folder / "about.json").read_text())
        source = methods.recording(folder)
        truth = Film(folder / "truth.yuv", about["width"], about["height"])
        made = Film(folder / "made.yuv", about["width"], about["height"])
        pictures = list(_bobbed(source, about))
        yield f"{name:<10}{'the truth':<22}" + _told(pictures, truth)
        results = _results(source, about)
        for label in _QUICK if quick else results:
            build = results[label]
            methods.write(build(), made.path)
            figures = metrics.compare(made, truth, _DROP)
            yield (
                f"{name:<10}{label:<22}{_told(pictures, made)}{figures.psnr_y:>9.2f}"
                f"{figures.psnr_uv:>9.2f}{figures.vmaf:>7.1f}{figures.vmaf_neg:>7.1f}"
                f"{figures.temporal:>10.2f}"
            )


def _results(source: vs.VideoNode, about: dict[str, Any]) -> dict[str, Callable[[], vs.VideoNode]]:
    def ours(model: str, strength: float) -> vs.VideoNode:
        return vsencore.remaster(
            source,
            about["height"],
            width=about["width"],
            model=model,
            lock=strength,
            format=vs.YUV420P10,
            matrix="keep",
        )

    return {
        "base": lambda: ours("base", 0),
        "base, locked": lambda: ours("base", 1),
        "vivid": lambda: ours("vivid", 0),
        "vivid, locked": lambda: ours("vivid", 1),
        "a stranger": lambda: stranger(ours("base", 0)),
        "a stranger, locked": lambda: vsencore.lock(stranger(ours("base", 0)), source),
    }


def stranger(clip: vs.VideoNode) -> vs.VideoNode:
    """What models of others do to a show: warmer, lifted in the dark, more saturated."""
    rgb = clip.resize.Bicubic(format=vs.RGB48)
    gains = (
        "x 65535 / 0.92 pow 70100 *",
        "x 65535 / 0.92 pow 65535 *",
        "x 65535 / 0.92 pow 59000 *",
    )
    rgb = rgb.akarin.Expr(list(gains))
    matrix = clip.get_frame(0).props["_Matrix"]
    yuv = rgb.resize.Bicubic(format=clip.format.id, matrix=matrix, range=0)
    return yuv.akarin.Expr(["", "x 512 - 1.15 * 512 +", "x 512 - 1.15 * 512 +"])


def _bobbed(source: vs.VideoNode, about: dict[str, Any]) -> Iterator[Floats]:
    """The recording's moments as whole frames, each field drawn out in its own place, R'G'B'."""
    top_first = about["top_first"]
    fields = source.std.SeparateFields(tff=top_first).std.SetFieldBased(0)
    for n, frame in enumerate(fields.frames()):
        top = (n % 2 == 0) == top_first
        planes = [np.asarray(frame[plane]).astype(np.float32) for plane in range(3)]
        height, width = 2 * planes[0].shape[0], planes[0].shape[1]
        # Chroma lies so too, a quarter of its own field line (H.262 section 6.1.1.8).
        shift = 0.25 if top else -0.25
        y = _drawn(planes[0], width, height, shift)
        u, v = (_drawn(p, width, height, shift, 0.25) for p in planes[1:])
        yield _rgb((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)


def _drawn(
    plane: NDArray[np.float32], width: int, height: int, down: float, right: float = 0.0
) -> NDArray[np.float32]:
    """Sampled so that the result begins `down` and `right` inside the plane, in its samples."""
    rows = (np.arange(height, dtype=np.float32) + 0.5) * plane.shape[0] / height - 0.5 + down
    columns = (np.arange(width, dtype=np.float32) + 0.5) * plane.shape[1] / width - 0.5 + right
    x, y = np.meshgrid(columns, rows)
    made = cv2.remap(plane, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(made, np.float32)


def _told(pictures: list[Floats], film: Film) -> str:
    """CIEDE2000 of the blurred film to the blurred pictures, mean and 99th percentile."""
    height, width = pictures[0].shape[:2]
    found: dict[float, list[Floats]] = {sigma: [] for sigma in _SIGMAS}
    for picture, planes in zip(pictures, zip(*film.planes(), strict=True), strict=True):
        y, u, v = (plane.astype(np.float32) for plane in planes)
        size = (width, height)
        luma = cv2.resize(y, size, interpolation=cv2.INTER_AREA)
        u, v = (_drawn(p, width, height, 0.0, 0.25) for p in (u, v))
        shown = _rgb((luma - 64) / 876, (u - 512) / 896, (v - 512) / 896)
        for sigma in _SIGMAS:
            ours, theirs = (lab(_blurred(x, sigma)) for x in (shown, picture))
            found[sigma].append(ciede2000(ours, theirs))
    cells = []
    for offs in found.values():
        every = np.concatenate([off.ravel() for off in offs])
        cells.append(f"{every.mean():>7.2f}{np.percentile(every, 99):>6.2f}")
    return "".join(cells)


def _blurred(rgb: Floats, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(rgb, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred[::_EVERY, ::_EVERY], np.float64)


def _rgb(y: Any, cb: Any, cr: Any) -> Floats:
    """R'G'B' (height, width, 3) of BT.601, which both systems' recordings are in."""
    kr, kb = 0.299, 0.114
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([red, green, blue], -1).astype(np.float64)


def lab(rgb: Floats) -> Floats:
    """CIELAB under D65 of R'G'B' 0..1 (..., 3), as a BT.1886 display shows it."""
    xyz = np.clip(rgb, 0, 1) ** 2.4 @ _TO_XYZ.T / _TO_XYZ.sum(1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def ciede2000(one: Floats, other: Floats) -> Floats:
    """The colour difference of CIELAB (..., 3); G. Sharma et al., Color Res. Appl. 30, 2005."""
    l1, a1, b1 = np.moveaxis(one, -1, 0)
    l2, a2, b2 = np.moveaxis(other, -1, 0)
    seventh = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(seventh / (seventh + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for b, a in ((b1, a1), (b2, a2)))
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    mean_h = np.where(grey, h1 + h2, (h1 + turn / 2) % 360)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )
    away = (mean_l - 50) ** 2
    lightness = (l2 - l1) / (1 + 0.015 * away / np.sqrt(20 + away))
    chroma = (c2 - c1) / (1 + 0.045 * mean_c)
    hue = hue / (1 + 0.015 * mean_c * t)
    blue = 30 * np.exp(-(((mean_h - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * np.sin(np.radians(2 * blue))
    return np.asarray(np.sqrt(lightness**2 + chroma**2 + hue**2 + rotation * chroma * hue))
