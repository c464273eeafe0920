"""Hiss on music: SNR gained by our one automatic setting, and by the best of FFmpeg's afftdn.

The print is found in the damaged sound itself. afftdn is given the noise's true level and, for each
row, the best of a grid of noise floors, reductions, floors of the residual and tracking, started
from three noise types (white; custom with the true band levels), its delay taken out. The last
column is ours less afftdn's. Weights were trained on none of rock, piano, folk and voice, and on
other parts of the other pieces.

Bare hiss tells of musical noise: how far it falls, and the kurtosis of what is left, bin by bin,
over that of even hiss (1 is hiss; more is twitter).
"""

import math

import numpy as np

from encoreaudio.hiss import HissRepair
from encoreaudio.noise import NoiseFinder, print_of

from .material import Samples, ffmpeg_filter, find, music, run_stage, show, snr_db, timed

__all__ = ["table"]

_SECONDS = 10
_PIECES = ("rock", "piano", "folk", "funk", "jazz", "strings")
_BANDS_HZ = (
    35, 75, 125, 175, 250, 350, 500, 700, 1000, 1500, 2000, 3000, 5000, 10000, 15000,
)  # fmt: skip


def table() -> None:
    """Print the gains, what is done to clean music, and the speed."""
    rows: list[list[object]] = []
    clean_rows: list[list[object]] = []
    for name in _PIECES:
        whole, rate = music(name)
        clean = whole[: _SECONDS * rate]
        print_ = find(NoiseFinder(rate, 2), clean)
        out = run_stage(HissRepair(rate, 2, print_), clean)
        clean_rows.append([name, print_.sureness, -snr_db(clean, out)])
        rows += [
            _row(name, clean, rate, kind, snr) for kind in ("white", "tape") for snr in (10, 20, 30)
        ]
    show(
        "Hiss: SNR gained, dB",
        ["piece", "hiss", "SNR", "ours", "afftdn, best", "more", "x real time", "afftdn's setting"],
        rows,
    )
    show("Hiss: clean music", ["piece", "sureness", "residual dB"], clean_rows)
    show(
        "Hiss: bare",
        ["hiss", "fall, ours", "fall, afftdn", "kurtosis, ours", "kurtosis, afftdn"],
        [_bare(kind) for kind in ("white", "tape")],
    )


def _row(name: str, clean: Samples, rate: int, kind: str, snr: int) -> list[object]:
    noisy = clean + _hiss(clean, rate, kind, snr)
    print_, heard_s = timed(lambda: find(NoiseFinder(rate, 2), noisy))
    out, took_s = timed(lambda: run_stage(HissRepair(rate, 2, print_), noisy))
    ours = snr_db(clean, out) - snr
    theirs, setting = _best_afftdn(clean, noisy, rate, kind)
    speed = len(clean) / rate / (heard_s + took_s)
    return [name, kind, snr, ours, theirs - snr, ours - theirs + snr, speed, setting]


def _bare(kind: str) -> list[object]:
    rate, level = 44100, 40.0
    hiss = _hiss(np.ones((_SECONDS * rate, 2)), rate, kind, level)
    ours = run_stage(HissRepair(rate, 2, print_of(hiss, rate)), hiss)
    shape = _tape_shape() if kind == "tape" else "nt=w"
    theirs = ffmpeg_filter(hiss, rate, f"afftdn={shape}:nf={-level:.1f}:nr=25:rf=-80")
    middle = slice(rate, -rate)
    falls = [snr_db(hiss[middle], heard[middle] + hiss[middle]) for heard in (ours, theirs)]
    return [kind, *falls, *(_kurtosis(heard[middle]) for heard in (ours, theirs))]


def _kurtosis(samples: Samples) -> float:
    frames = np.lib.stride_tricks.sliding_window_view(samples[:, 0], 2048)[::1024]
    power = np.abs(np.fft.rfft(frames * np.hanning(2048)))[:, 8:-8] ** 2
    power /= power.mean(axis=0)
    return float(np.mean(power**2) / 2)


def _hiss(clean: Samples, rate: int, kind: str, snr: float) -> Samples:
    noise = np.random.default_rng(5).standard_normal(clean.shape)
    if kind == "tape":
        shape = _tape(np.fft.rfftfreq(len(noise), 1 / rate))[:, np.newaxis]
        noise = np.fft.irfft(np.fft.rfft(noise, axis=0) * shape, len(noise), axis=0)
    scale = math.sqrt(np.sum(clean**2) / np.sum(noise**2)) * 10 ** (-snr / 20)
    return noise * scale


def _tape(hertz: Samples) -> Samples:
    """Amplitude that rises by 3 dB an octave above 1.5 kHz."""
    return np.sqrt(1 + hertz / 1500)


def _tape_shape() -> str:
    levels = 20 * np.log10(_tape(np.array(_BANDS_HZ, dtype=float)))
    return "nt=c:bn=" + "|".join(f"{value - levels.mean():.1f}" for value in levels)


def _best_afftdn(clean: Samples, noisy: Samples, rate: int, kind: str) -> tuple[float, str]:
    level = 10 * math.log10(np.mean((noisy - clean) ** 2))
    delay = 1200 * rate // 48000
    padded = np.concatenate((noisy, np.zeros((2 * delay, 2))))

    def score(setting: tuple[object, ...]) -> tuple[float, str]:
        kind_, floor, reduction, residual, track = setting
        floor = min(-20.0, max(-80.0, float(str(floor))))
        graph = f"afftdn={kind_}:nf={floor:.1f}:nr={reduction}:rf={residual}:tn={track}"
        heard = ffmpeg_filter(padded, rate, graph)[delay : delay + len(clean)]
        return snr_db(clean, heard), graph

    shapes = ["nt=w"]
    if kind == "tape":
        shapes.append(_tape_shape())
    tried = [
        (score(setting), setting)
        for shape in shapes
        for setting in [
            *((shape, level + off, 25, -80, 0) for off in (-6, -3, -1, 1, 3, 6)),
            (shape, level, 25, -80, 1),
        ]
    ]
    best, at = max(tried, key=lambda pair: pair[0][0])
    for reduction in (10, 16, 40):
        best = max(best, score((at[0], at[1], reduction, -80, at[4])))
    return best
