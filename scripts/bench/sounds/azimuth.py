"""Azimuth, polarity and dropouts: a pair's faults found, measured and taken back.

The second channel of real music is made late by a fixed part of a sample, or by one that drifts
from 0.5 to 2.5 samples; "found" is what the finder says in the middle, "left" what it says after
repair, "comb" how much of the sum of the channels between 8 and 16 kHz the delay cost, before and
after. ffmpeg has no peer that measures; its `adelay` moves whole samples. Then polarity, a dead
channel, and dropouts: how many of four holes are found and how far what they cost came down. The
last table is clean music, which must pass bit for bit, and speed.
"""

import numpy as np

from encoreaudio.azimuth import AzimuthFinder, AzimuthRepair
from encoreaudio.polarity import PolarityFinder, PolarityRepair
from sounds.material import PIECES, Samples, find, music, run_stage, show, snr_db, timed

__all__ = ["table"]

_DELAYS = (0.3, 1.7, -4.25)
_DELAYED = ("rock", "folk", "strings", "celesta")
_HOLES = ((2.0, 0.03), (5.3, 0.2), (8.1, 1.0), (12.0, 3.3))  # seconds: start, length


def table() -> None:
    """Print all tables."""
    _azimuths()
    _pairs()
    _harmless()


def _azimuths() -> None:
    rows = []
    for name in _DELAYED:
        clean, rate = music(name)
        for late in (*_DELAYS, "drift"):
            frames = np.arange(len(clean)) / len(clean)
            course = 0.5 + 2 * frames if late == "drift" else np.full(len(clean), float(late))
            heard = clean.copy()
            heard[:, 1] = _late(clean[:, 1], course)
            told = find(AzimuthFinder(rate, 2), heard)
            out = run_stage(AzimuthRepair(rate, 2, told), heard)
            left = find(AzimuthFinder(rate, 2), out)
            rows.append(
                [name, late, told.delay_samples, left.delay_samples]
                + [_sum_db(x, rate) - _sum_db(clean, rate) for x in (heard, out)]
            )
    show(
        "Azimuth: samples of delay, and dB of the channels' sum at 8-16 kHz against clean",
        ["piece", "made", "found", "left", "comb before", "comb after"],
        rows,
    )


def _pairs() -> None:
    rows = []
    for name in PIECES:
        clean, rate = music(name)
        rng = np.random.default_rng(0)
        clean = clean + 1e-4 * rng.standard_normal(clean.shape)
        inverted = find(PolarityFinder(rate, 2), clean * [1, -1])
        dead = clean.copy()
        dead[:, 1] = 1e-4 * rng.standard_normal(len(clean))
        heard = clean.copy()
        for number, (start, length) in enumerate(_HOLES):
            here = slice(round(start * rate), round((start + length) * rate))
            heard[here, number % 2] = 1e-4 * rng.standard_normal(here.stop - here.start)
        told = find(PolarityFinder(rate, 2), heard)
        out = run_stage(PolarityRepair(rate, 2, told), heard)
        rows.append(
            [
                name,
                inverted.correlation,
                inverted.inverted,
                find(PolarityFinder(rate, 2), dead).dead == 1,
                told.dropout_count,
                snr_db(clean, heard),
                snr_db(clean, out),
            ]
        )
    show(
        "Polarity, a dead channel, four dropouts",
        ["piece", "correlation", "inverted", "dead", "dropouts", "SNR before", "SNR after"],
        rows,
    )


def _harmless() -> None:
    rows = []
    for name in PIECES:
        clean, rate = music(name)
        azimuth, hear_s = timed(lambda c=clean, r=rate: find(AzimuthFinder(r, 2), c))
        polarity, pair_s = timed(lambda c=clean, r=rate: find(PolarityFinder(r, 2), c))
        late = clean.copy()
        late[:, 1] = _late(clean[:, 1], np.full(len(clean), 1.7))
        told = find(AzimuthFinder(rate, 2), late)
        _, move_s = timed(lambda x=late, t=told, r=rate: run_stage(AzimuthRepair(r, 2, t), x))
        length_s = len(clean) / rate
        rows.append(
            [name, azimuth.delay_samples, azimuth.share, azimuth.matters, polarity.matters]
            + [round(length_s / took) for took in (hear_s, move_s, pair_s)]
        )
    show(
        "Clean music: what is found, and speeds in x real time",
        ["piece", "delay", "share", "azimuth acts", "polarity acts", "finder", "repair", "pair"],
        rows,
    )


def _late(wave: Samples, course: Samples) -> Samples:
    """The wave later by a course of samples, by a long windowed sinc at each sample."""
    at = np.arange(len(wave)) - course
    first = np.floor(at).astype(int)
    out = np.zeros(len(wave))
    for step in range(-40, 41):
        away = at - first - step
        shape = np.where(np.abs(away) < 40, np.cos(np.pi * away / 80) ** 2, 0)
        out += wave[np.clip(first + step, 0, len(wave) - 1)] * np.sinc(away) * shape
    return out


def _sum_db(pair: Samples, rate: int) -> float:
    power = np.square(np.abs(np.fft.rfft(pair.sum(axis=1))))
    hertz = np.fft.rfftfreq(len(pair), 1 / rate)
    return float(10 * np.log10(power[(hertz > 8000) & (hertz < 16000)].sum() + 1e-30))
