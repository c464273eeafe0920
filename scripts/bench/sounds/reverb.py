"""Reverberation: dry stems in halls, and how much nearer they come to dry and early sound.

SI-SDR (dB) against the dry stem through the hall's first 50 ms, before and after, at two amounts.
Halls: a real one (a warehouse's impulse response), and Polack's model with a known time and
direct-to-reverberant ratio. The last rows play dry stems: what is done to a recording that has no
hall, as SNR (the larger the better; no other open tool for music was at hand to stand beside). The
settings were chosen on these stems and halls.
"""

import numpy as np
import scipy.signal
import soundfile
import soxr

from encoreaudio.reverb import ReverbFinder, ReverbRepair
from sounds.material import DATA, Samples, find, music, run_stage, show, snr_db, timed

_POLACK = ((1.0, 0.0), (2.0, 3.0), (2.0, -3.0))


def table() -> None:
    """Print the table."""
    rows: list[list[object]] = []
    dry_rows: list[list[object]] = []
    for piece in ("voice", "funk", "rock"):
        samples, rate = music(piece)
        halls = {"warehouse": (_warehouse(rate), None)} | {
            f"{t60} s, {direct:+} dB": (_polack(rate, t60, direct), t60) for t60, direct in _POLACK
        }
        for name, (response, t60) in halls.items():
            early = response.copy()
            early[np.abs(response).argmax() + round(0.05 * rate) :] = 0
            wet, wanted = (
                scipy.signal.fftconvolve(samples, kernel[:, np.newaxis], axes=0)[: len(samples)]
                for kernel in (response, early)
            )
            reverb = find(ReverbFinder(rate, 2), wet)
            half = run_stage(ReverbRepair(rate, 2, reverb, 0.5), wet)
            whole, seconds = timed(
                lambda r=rate, v=reverb, w=wet: run_stage(  # type: ignore[misc]
                    ReverbRepair(r, 2, v, 1.0), w
                )
            )
            rows.append(
                [
                    piece,
                    name,
                    t60 or "",
                    reverb.t60_s or "none",
                    *(_si_sdr_db(wanted, heard) for heard in (wet, half, whole)),
                    round(len(samples) / rate / seconds),
                ]
            )
        reverb = find(ReverbFinder(rate, 2), samples)
        dry_rows.append(
            [
                piece,
                reverb.t60_s or "none",
                *(
                    snr_db(samples, run_stage(ReverbRepair(rate, 2, reverb, amount), samples))
                    for amount in (0.25, 0.5)
                ),
            ]
        )
    head = ["piece", "hall", "T60, s", "heard, s", "before", "0.5", "1.0", "stage, x"]
    show("Reverberation: SI-SDR against dry and early, dB", head, rows)
    show("Reverberation: dry stems, SNR in dB", ["piece", "heard, s", "0.25", "0.5"], dry_rows)


def _warehouse(rate: int) -> Samples:
    response, own = soundfile.read(DATA / "sound/rooms/tim-warehouse-stretch1.wav", always_2d=True)
    left: Samples = soxr.resample(response[:, 0], own, rate)
    return left


def _polack(rate: int, t60_s: float, direct_db: float) -> Samples:
    count = round(1.3 * t60_s * rate)
    late = np.random.default_rng(3).standard_normal(count)
    late *= 10 ** (-3 * np.arange(count) / (t60_s * rate))
    late *= 10 ** (-direct_db / 20) / np.sqrt(np.square(late).sum())
    late[: round(0.003 * rate)] = 0
    late[0] = 1.0
    return late


def _si_sdr_db(wanted: Samples, heard: Samples) -> float:
    part = np.vdot(wanted, heard) / np.vdot(wanted, wanted) * wanted
    return float(10 * np.log10(np.square(part).sum() / np.square(heard - part).sum()))
