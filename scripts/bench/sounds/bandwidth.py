"""Bandwidth: real music cut off at 8, 10 and 12 kHz, found again and filled.

Log-spectral distance (dB) to the music as it was, from the cut-off to 15.5 kHz (above which the
material itself ends), of the cut music, of FFmpeg's exciter and of ours at two amounts; what the
repair changes below the cut-off, against the music; how many times faster than the sound plays.
"""

import numpy as np
import scipy.signal

from encoreaudio.bandwidth import BandwidthFinder, BandwidthRepair
from sounds.material import Samples, ffmpeg_filter, find, music, run_stage, show, timed

_HIGHEST_HZ = 15500.0


def table() -> None:
    """Print the table."""
    rows: list[list[object]] = []
    for piece in ("rock", "funk", "folk", "jazz", "strings", "voice"):
        samples, rate = music(piece)
        for cutoff in (8000, 10000, 12000):
            sections = scipy.signal.ellip(8, 0.1, 60, cutoff, output="sos", fs=rate)
            dull = scipy.signal.sosfiltfilt(sections, samples, axis=0)
            bandwidth = find(BandwidthFinder(rate, 2), dull)
            if bandwidth.cutoff_hz is None:
                rows.append([piece, cutoff, "none"])
                continue
            low = 1.06 * bandwidth.cutoff_hz
            excited = ffmpeg_filter(dull, rate, f"aexciter=freq={cutoff}:ceil={_HIGHEST_HZ}")
            half = run_stage(BandwidthRepair(rate, 2, bandwidth, 0.5), dull)
            whole, seconds = timed(
                lambda r=rate, b=bandwidth, d=dull: run_stage(  # type: ignore[misc]
                    BandwidthRepair(r, 2, b, 1.0), d
                )
            )
            rows.append(
                [
                    piece,
                    cutoff,
                    bandwidth.cutoff_hz,
                    *(_distance(samples, heard, rate, low) for heard in (dull, excited)),
                    *(_distance(samples, heard, rate, low) for heard in (half, whole)),
                    _changed_db(dull, excited, rate, cutoff),
                    _changed_db(dull, half, rate, cutoff),
                    round(len(samples) / rate / seconds),
                ]
            )
    show(
        "Bandwidth: log-spectral distance above the cut-off, dB",
        [
            "piece",
            "cut at, Hz",
            "found, Hz",
            "cut",
            "aexciter",
            "0.5",
            "1.0",
            "aexciter below, dB",
            "0.5 below, dB",
            "stage, x",
        ],
        [[*row, *[""] * (10 - len(row))] for row in rows],
    )


def _distance(clean: Samples, heard: Samples, rate: int, low_hz: float) -> float:
    levels = []
    for samples in (clean, heard):
        hertz, _, frames = scipy.signal.stft(samples[:, 0], rate, nperseg=2048)
        band = (hertz > low_hz) & (hertz < _HIGHEST_HZ)
        levels.append(20 * np.log10(np.abs(frames[band]) + 1e-6))
    return float(np.sqrt(np.square(levels[0] - levels[1]).mean(axis=0)).mean())


def _changed_db(before: Samples, after: Samples, rate: int, below_hz: float) -> float:
    low = np.fft.rfftfreq(len(before), 1 / rate) < 0.98 * below_hz
    change, whole = (
        np.square(np.abs(np.fft.rfft(samples, axis=0)[low])).sum()
        for samples in (after - before, before)
    )
    return float(10 * np.log10(change / whole + 1e-30))
