"""Hum under music: how far its lines come down, and what the music beside them loses.

Eight multiples of 50.02 Hz, of 59.9 Hz, and of 50 Hz that wanders by 0.1 Hz in a minute, 10 dB
apart in level, under four pieces. "lines" is the energy within 1 Hz of the multiples, of what is
left over the clean music, under that of the hum itself; "SNR" is what all of the sound gains. Ours
is told nothing: it finds the hum itself. Peers are told the nominal frequency (ffmpeg's bandreject
and scipy's iirnotch combs) or even the true one (least squares over the whole piece). The last
table is what clean music loses: at auto, where no hum is found, and where the repair is told of a
hum of -40 dBFS that is not there.
"""

import numpy as np
import scipy.signal

from encoreaudio.dehum import HumRepair
from encoreaudio.hum import Hum, HumFinder
from sounds.material import (
    PIECES,
    Samples,
    ffmpeg_filter,
    find,
    music,
    run_stage,
    show,
    snr_db,
    timed,
)

__all__ = ["table"]

_LINES = 8
_CASES = (("50.02", 50.02, 0.0), ("59.9", 59.9, 0.0), ("50 wandering", 50.0, 0.1))
_UNDER_MUSIC_DB = (0, 10, 20)
_HEARD = ("rock", "folk", "strings", "piano")  # the full mixes' bass is the hardest


def table() -> None:
    """Print all tables."""
    rows = [
        [label, under_db, *_row(hertz, wander_hz, under_db)]
        for label, hertz, wander_hz in _CASES
        for under_db in _UNDER_MUSIC_DB
    ]
    show(
        "Hum: lines down in dB (worst piece / mean), and mean SNR gained",
        [
            "hertz",
            "under music dB",
            "ours",
            "SNR",
            "notches",
            "SNR",
            "bandreject",
            "SNR",
            "true LS",
        ],
        rows,
    )
    found_rows = []
    for name in PIECES:
        clean, rate = music(name)
        told = find(HumFinder(rate, 2), clean)
        false = Hum(50.0, -40.0, tuple(range(1, 9)), tuple(-45.0 - k for k in range(1, 9)))
        out, seconds = timed(lambda c=clean, r=rate, f=false: run_stage(HumRepair(r, 2, f), c))
        found_rows.append(
            [
                name,
                "nothing found, bit for bit" if told is None else f"{told.frequency_hz:.2f} Hz",
                snr_db(clean, out),
                round(len(clean) / rate / seconds),
            ]
        )
    show(
        "Clean music: at auto; null in dB where told of hum that is not there; speed",
        ["piece", "auto", "told wrongly", "x real time"],
        found_rows,
    )


def _row(hertz: float, wander_hz: float, under_db: float) -> list[object]:
    lines: dict[str, list[float]] = {"ours": [], "notch": [], "reject": [], "ls": []}
    gains: dict[str, list[float]] = {name: [] for name in lines}
    missed = 0
    for name in _HEARD:
        clean, rate = music(name)
        hum = _hum(hertz, wander_hz, len(clean), rate)
        hum *= 10 ** (-under_db / 20) * np.std(clean) / np.std(hum)
        heard = clean + hum
        told = find(HumFinder(rate, 2), heard)
        missed += told is None
        nominal = 50.0 if hertz < 55 else 60.0
        graph = ",".join(
            f"bandreject=f={k * nominal}:width_type=h:w=2" for k in range(1, _LINES + 1)
        )
        outs = {
            "ours": heard if told is None else run_stage(HumRepair(rate, 2, told), heard),
            "notch": _notched(heard, nominal, rate),
            "reject": ffmpeg_filter(heard, rate, graph),
            "ls": _least_squares(heard, hertz, rate),
        }
        for peer, out in outs.items():
            if peer == "ours" and told is None:
                continue
            lines[peer].append(_lines_db(hum, out - clean, hertz, rate))
            gains[peer].append(snr_db(clean, out) - snr_db(clean, heard))
    cells: list[object] = []
    for peer in ("ours", "notch", "reject"):
        cells += [
            f"{min(lines[peer]):.1f} / {np.mean(lines[peer]):.1f}",
            float(np.mean(gains[peer])),
        ]
    if missed:
        cells[0] = f"{cells[0]} (not found in {missed} of {len(_HEARD)})"
    return [*cells, f"{min(lines['ls']):.1f} / {np.mean(lines['ls']):.1f}"]


def _hum(hertz: float, wander_hz: float, frames: int, rate: int) -> Samples:
    at = np.arange(frames) / rate
    turn = 2 * np.pi * np.cumsum(hertz + wander_hz * np.sin(2 * np.pi * at / 60)) / rate
    multiples = range(1, _LINES + 1)
    return np.stack(
        [sum(np.sin(k * turn + 1.3 * k + c) / np.sqrt(k) for k in multiples) for c in (0.0, 0.4)],
        axis=1,
    )


def _lines_db(hum: Samples, left: Samples, hertz: float, rate: int) -> float:
    at = np.fft.rfftfreq(len(hum), 1 / rate)
    near = np.abs(at - np.clip(np.round(at / hertz), 1, _LINES) * hertz) <= 1
    window = np.hanning(len(hum))[:, np.newaxis]
    before, after = (
        np.square(np.abs(np.fft.rfft(wave * window, axis=0)))[near].sum() for wave in (hum, left)
    )
    return float(10 * np.log10(before / after))


def _notched(heard: Samples, nominal: float, rate: int) -> Samples:
    out = heard
    for k in range(1, _LINES + 1):
        b, a = scipy.signal.iirnotch(k * nominal, k * nominal / 2.0, rate)
        out = scipy.signal.lfilter(b, a, out, axis=0)
    return out


def _least_squares(heard: Samples, hertz: float, rate: int) -> Samples:
    angles = 2 * np.pi * hertz * np.outer(np.arange(len(heard)) / rate, np.arange(1, _LINES + 1))
    waves = np.concatenate((np.cos(angles), np.sin(angles)), axis=1)
    return heard - waves @ np.linalg.solve(waves.T @ waves, waves.T @ heard)
