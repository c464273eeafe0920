"""Relight: what it shows of the dark, and what it must not do: noise, hues, edges, pumping.

Detail: clean clips are taken to be the bright truth; three stops darker, with noise and in 8 bits,
they are relit. The truth's detail (its band between two Gaussians) is sought in theirs by
regression, in what is dark but not black; noise has no part in that. Noise: flat patches of the
dark with noise, the spread within a patch. Hue: CIELAB hue of skins under lamps of many strengths,
relit. Edge: steps between many pairs of levels, and lamps on black; how far a line across them
leaves the levels of its own ends. Flash: a lamp flashes on half the picture; how much the other
half changes, and what becomes of the change in the lit half.
"""

from collections.abc import Iterator, Sequence

import av
import cv2
import judged
import methods
import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

import vsencore
from lights.lock import lab

__all__ = ["HEAD", "rows"]

Floats = NDArray[np.float64]

HEAD = f"{'what':<46}{'shadows':>8}{'source':>9}{'relit':>9}{'target':>22}"
_CLIPS = (
    ("room_people_1080p.mp4", 30),
    ("cockatoo_720p20.mp4", 10),
    ("sam2_juggle_720p24.mp4", 100),
    ("marathon_crowd_400p.mp4", 20),
)
_STOPS = 3.0
_NOISE = 1.5  # codes of 8 bit
_STRENGTHS = (0.2, 0.5, 1.0)


def rows(quick: bool) -> list[str]:
    """A line for each measure and strength."""
    strengths = (0.5,) if quick else _STRENGTHS
    return [line for measure in _MEASURES for line in measure(strengths, quick)]


def _line(what: str, shadows: float, source: str, relit: str, target: str = "") -> str:
    return f"{what:<46}{shadows:>8.1f}{source:>9}{relit:>9}{target:>22}"


def detail(strengths: Sequence[float], quick: bool) -> Iterator[str]:
    """The truth's detail in the dark, as a share of what it is in the bright."""
    for name, at in _CLIPS[: 1 if quick else None]:
        truth = _frame(name, at)
        rng = np.random.default_rng(at)
        dark = truth * 2 ** (-_STOPS / 2.4)
        codes = _codes(dark, rng, _NOISE)
        source = _luma(_clip([codes]))[0]
        of = _band(truth @ _WEIGHTS)
        # What is dark, but not black, and not at the border of the bright.
        low = cv2.GaussianBlur(source, (0, 0), 8)
        place = (low > 0.04) & (low < 0.25)
        before = _share(_band(source), of, place)
        for shadows in strengths:
            relit = _luma(vsencore.relight(_clip([codes]), shadows))[0]
            after = _share(_band(relit), of, place)
            yield _line(
                f"detail: {name.split('.')[0]}",
                shadows,
                f"{before:.3f}",
                f"{after / before - 1:+.1%}",
                "+25 % at 0.5",
            )


def noise(strengths: Sequence[float], quick: bool) -> Iterator[str]:
    """The spread of flat dark patches with noise of some codes of 8 bit; results have 10 bit."""
    rng = np.random.default_rng(1)
    levels = np.linspace(0.03, 0.3, 12)
    patches = np.kron(levels.reshape(3, 4), np.ones((160, 160)))
    flat = np.repeat(patches[..., None], 3, -1)
    for sigma in (1.0, 2.0, 4.0):
        codes = _codes(flat, rng, sigma)
        for shadows in strengths:
            clip = _clip([codes])
            pairs = zip(
                _patches(_luma(clip)[0]),
                _patches(_luma(vsencore.relight(clip, shadows, format=vs.YUV420P10))[0]),
                strict=True,
            )
            ratios = [float(b.std() / a.std()) for a, b in pairs]
            yield _line(
                f"noise of {sigma:.0f} codes in flat dark, the worst patch",
                shadows,
                "1.00",
                f"{max(ratios):.2f}",
                "not above 1",
            )


def hue(strengths: Sequence[float], quick: bool) -> Iterator[str]:
    """Skins of many shades under many strengths of light: CIELAB hue, degrees."""
    # ColorChecker's dark and light skin, and two between and beyond, as R'G'B' of sRGB.
    skins = np.array([(115, 82, 68), (194, 150, 130), (87, 58, 44), (225, 180, 160)]) / 255
    lamps = 2.0 ** (np.arange(-5, 1) / 2.4)
    patches = (skins[:, None] * lamps[None, :, None]).reshape(4, 6, 3)
    picture: Floats = np.kron(patches, np.ones((96, 96, 1))).astype(np.float64)
    codes = _codes(picture, np.random.default_rng(2), 0.0)
    for shadows in strengths:
        clip = _clip([codes])
        pair = (clip, vsencore.relight(clip, shadows, 0.5))
        hues = [np.array([_hue(patch) for patch in _patches(_rgb(one)[0], 96)]) for one in pair]
        off = np.abs((hues[1] - hues[0] + 180) % 360 - 180).max()
        yield _line(
            "skin hue, the worst of 24 patches, degrees", shadows, "", f"{off:.2f}", "under 1.5"
        )


def edge(strengths: Sequence[float], quick: bool) -> Iterator[str]:
    """How far a step's line leaves the levels of its ends, of white."""
    levels = (0.0, 0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 0.95)
    for shadows in strengths:
        worst, of_step = 0.0, 0.0
        for low in levels:
            for high in levels:
                if high <= low:
                    continue
                line = np.full((320, 640), low)
                line[:, 320:] = high
                line = cv2.GaussianBlur(line, (0, 0), 1.2)
                codes = _codes(np.repeat(line[..., None], 3, -1), np.random.default_rng(3), 0.0)
                relit = _luma(vsencore.relight(_clip([codes], vs.YUV444P16), shadows, 0.5))[0][160]
                ends = relit[8], relit[-8]
                over = max(ends[0] - relit.min(), relit.max() - ends[1], 0.0)
                worst, of_step = max(worst, over), max(of_step, over / (ends[1] - ends[0]))
        yield _line(
            "edge: beyond the step's ends, of white", shadows, "", f"{worst:.2%}", "under 2 %"
        )
        yield _line("edge: the same, of the step", shadows, "", f"{of_step:.2%}")


def flash(strengths: Sequence[float], quick: bool) -> Iterator[str]:
    """A lamp flashes on the right half: what of the steps is left, and what the calm half does."""
    truth = np.asarray(
        cv2.resize(_frame(*_CLIPS[0]), (960, 540), interpolation=cv2.INTER_AREA), np.float64
    )
    frames = []
    for n in range(6):
        lamp = np.full(960, 2.0**-4)
        lamp[560:] *= 6.0 if n % 3 == 1 else 1.0
        soft = np.asarray(cv2.GaussianBlur(lamp[None], (0, 0), 10), np.float64)
        lit: Floats = truth * (soft[0] ** (1 / 2.4))[None, :, None]
        frames.append(_codes(lit, np.random.default_rng(4), 1.0))
    states = [{"first": 0, "last": 5, "p01": 0, "p05": 0.001, "p50": 0.02, "p95": 0.06, "p99": 0.1}]
    source = _luma(_clip(frames))
    for shadows in strengths:
        relit = _luma(vsencore.relight(_clip(frames), shadows, light=states))
        calm = [float(np.abs(np.diff(x[:, :, :460], axis=0)).mean() * 219) for x in (source, relit)]
        yield _line(
            "flash: step of the calm half, codes", shadows, f"{calm[0]:.3f}", f"{calm[1]:.3f}"
        )
        steps = [float(np.abs(np.diff(x[:, :, 620:].mean((1, 2)))).mean()) for x in (source, relit)]
        yield _line(
            "flash: step of the lit half, coded",
            shadows,
            f"{steps[0]:.3f}",
            f"{steps[1]:.3f}",
            "the source's",
        )


_MEASURES = (detail, noise, hue, edge, flash)
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def _frame(name: str, at: int) -> Floats:
    """A frame of a clip, R'G'B' 0..1, even in size."""
    with av.open(str(judged.data_folder() / "clips" / name)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == at:
                codes = np.asarray(frame.to_ndarray(format="rgb24"))
                even = codes[: codes.shape[0] // 2 * 2, : codes.shape[1] // 2 * 2]
                return even.astype(np.float64) / 255
    raise ValueError(f"{name} has no frame {at}")


def _codes(rgb: Floats, rng: np.random.Generator, noise: float) -> NDArray[np.uint8]:
    """R'G'B' as 8 bits with noise, which the channels share."""
    grain = rng.normal(0, noise, rgb.shape[:2])[..., None] if noise else 0.0
    return np.clip(np.rint(rgb * 255 + grain * 255 / 219), 0, 255).astype(np.uint8)


def _clip(frames: Sequence[NDArray[np.uint8]], format: int = vs.YUV420P8) -> vs.VideoNode:
    planes = [[np.ascontiguousarray(frame[..., n]) for n in range(3)] for frame in frames]
    rgb = methods.clip_of(planes, vs.RGB24, (25, 1))
    clip = rgb.resize.Bicubic(format=format, matrix=1, range=0, chromaloc=0)
    return clip.std.SetFrameProps(_Primaries=1, _Transfer=1, _FieldBased=0)


def _luma(clip: vs.VideoNode) -> Floats:
    """Y' 0..1 of all frames."""
    deep = clip.resize.Point(format=vs.GRAY16)
    return np.stack([(np.asarray(f[0]).astype(np.float64) - 4096) / 56064 for f in deep.frames()])


def _rgb(clip: vs.VideoNode) -> Floats:
    deep = clip.resize.Bicubic(format=vs.RGB48)
    return np.stack(
        [np.stack([np.asarray(f[n]) / 65535 for n in range(3)], -1) for f in deep.frames()]
    )


def _band(luma: Floats) -> Floats:
    """Detail: what is larger than a pixel or two, and smaller than some twenty."""
    fine = cv2.GaussianBlur(luma, (0, 0), 1.0)
    return np.asarray(fine - cv2.GaussianBlur(luma, (0, 0), 6.0), np.float64)


def _share(band: Floats, of: Floats, place: NDArray[np.bool_]) -> float:
    return float((band[place] * of[place]).sum() / (of[place] ** 2).sum())


def _patches(picture: Floats, side: int = 160) -> Iterator[Floats]:
    """The inner parts of square patches."""
    for top in range(0, picture.shape[0], side):
        for left in range(0, picture.shape[1], side):
            quarter = side // 4
            yield picture[
                top + quarter : top + side - quarter, left + quarter : left + side - quarter
            ]


def _hue(patch: Floats) -> float:
    # At one luminance: the hue angle of CIELAB itself turns below a hundredth of white's light.
    light = patch.mean((0, 1)) ** 2.4
    _, a, b = lab((light * 0.2 / (light @ _WEIGHTS)) ** (1 / 2.4))
    return float(np.degrees(np.arctan2(b, a)))
