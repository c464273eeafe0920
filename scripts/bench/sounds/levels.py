"""The limiter beside FFmpeg's, the meter beside pyloudnorm, and the songs of a made-up show.

Overs are true peaks over the ceiling of -1 dBTP, measured by soxr at sixteen times the rate, none
of our code. Pumping: a bass drum 6 dB over the ceiling every second and a half over a soft tone of
1 kHz; told is for how long after the drum the tone stays more than 0.5 dB down. Distortion: what a
50 Hz sine driven 6 dB over the ceiling gets besides itself, in dB under it. A peer's make-up gain
is off, and its delay is taken into account; loudnorm lowers the sine and the bursts to -14 LUFS
as a whole, so that little is left to limit there.
"""

import numpy as np
import pyloudnorm
import soundfile
import soxr

from encoreaudio.limiter import Limiter
from encoreaudio.loudness import Loudness, Meter
from encoreaudio.opinion import SecondOpinion
from encoreaudio.songs import SongFinder
from sounds.material import DATA, Samples, ffmpeg_filter, find, music, run_stage, show, timed

_CEILING_DBTP = -1.0
_RATE = 48000
_STEREO = ("FL", "FR")
_PIECES = ("rock", "funk", "folk", "jazz")
_SONGS = ("lets_go_fishin", "sugar_plum", "vibe_ace", "hungarian_dance")

_ALIMITER = f"alimiter=limit={10 ** (_CEILING_DBTP / 20)}:level=false:latency=true"
_UP = "aresample=192000:resampler=soxr:precision=28"


def table() -> None:
    """Print the limiters, the meters, and the songs."""
    _limiters()
    _meters()
    _songs()


def _limiters() -> None:
    rows = []
    for name in ("ours", "alimiter", "alimiter at 192k", "loudnorm 1-pass"):
        driven = []
        took = 0.0
        for drive in (6, 12):
            overs = []
            for piece in _PIECES:
                samples, rate = music(piece)
                hot = samples[: 10 * rate] * 2 * 10 ** (drive / 20)
                out, seconds = timed(
                    lambda hot=hot, rate=rate, name=name: _limited(name, hot, rate)
                )
                took += seconds
                overs.append(_over_db(out))
            driven.append(max(overs))
        speed = 2 * 10 * len(_PIECES) / took
        bursts = max(_over_db(_limited(name, _bursts(degrees), _RATE)) for degrees in (0, 45))
        rows.append((name, *driven, bursts, _ducked_ms(name), _distortion_db(name), speed))
    head = (
        "limiter",
        "music +6: over dB",
        "music +12",
        "fs/4 bursts",
        "ducked after a drum, ms",
        "50 Hz +6: distortion dB",
        "x real time",
    )
    show("Limiters at -1 dBTP", head, rows)


def _limited(name: str, samples: Samples, rate: int) -> Samples:
    if name == "ours":
        return run_stage(Limiter(rate, samples.shape[1], _CEILING_DBTP), samples)
    down = f"aresample={rate}:resampler=soxr:precision=28"
    graph = {
        "alimiter": _ALIMITER,
        "alimiter at 192k": f"{_UP},{_ALIMITER},{down}",
        "loudnorm 1-pass": f"loudnorm=I=-14:TP={_CEILING_DBTP}:LRA=11,{down}",
    }[name]
    return ffmpeg_filter(samples, rate, graph)


def _over_db(samples: Samples) -> float:
    padded = np.pad(samples, ((4000, 4000), (0, 0)))
    peak = np.abs(soxr.resample(padded, 1, 16, quality="VHQ")).max()
    return float(20 * np.log10(peak)) - _CEILING_DBTP


def _bursts(degrees: float) -> Samples:
    at = np.arange(4 * _RATE)
    wave = 2 * np.sin(np.pi / 2 * at + np.deg2rad(degrees)) * (at // 4800 % 2)
    return np.repeat(wave[:, np.newaxis], 2, axis=1)


def _ducked_ms(name: str) -> float:
    seconds = np.arange(12 * _RATE) / _RATE
    since = seconds % 1.5
    drum = 2 * 10 ** (_CEILING_DBTP / 20) * np.sin(2 * np.pi * 80 * since) * np.exp(-since / 0.02)
    tone = 0.05 * np.sin(2 * np.pi * 1000 * seconds)
    out = _limited(name, np.repeat((drum + tone)[:, np.newaxis], 2, axis=1), _RATE)[:, 0]
    # The tone's height every two milliseconds: two of its periods, the drum's slow wave taken out.
    periods = out[: len(out) // 96 * 96].reshape(-1, 96)
    turns = np.exp(-2j * np.pi * 1000 / _RATE * np.arange(96)) * np.hanning(96)
    height = np.abs((periods - periods.mean(axis=1, keepdims=True)) @ turns)
    at = np.arange(len(height)) * 0.002
    # Through one drum, long after the first ones; against the tone just before the next.
    drum_at, steady = at - 7.5, height[(at > 8.7) & (at < 8.98)].mean()
    after = (drum_at > 0.06) & (drum_at < 1.2)  # before that, the drum itself sounds at 1 kHz
    low = np.flatnonzero(after & (height < steady * 10 ** (-0.5 / 20)))
    return float(1000 * drum_at[low[-1]]) if len(low) else 60.0


def _distortion_db(name: str) -> float:
    seconds = np.arange(6 * _RATE) / _RATE
    wave = 2 * 10 ** (_CEILING_DBTP / 20) * np.sin(2 * np.pi * 50 * seconds)
    out = _limited(name, np.repeat(wave[:, np.newaxis], 2, axis=1), _RATE)
    part = out[4 * _RATE : 5 * _RATE, 0]
    power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
    note = power[47:54].sum()
    return float(10 * np.log10((power.sum() - note) / note))


def _meters() -> None:
    rows = []
    for piece in _PIECES:
        samples, rate = music(piece)

        def alone(samples: Samples = samples, rate: int = rate) -> float:
            meter = Loudness(rate, _STEREO)
            meter.add(samples)
            return meter.finish() or 0.0

        def whole(samples: Samples = samples, rate: int = rate) -> float:
            meter = pyloudnorm.Meter(rate, filter_class="DeMan")
            return float(meter.integrated_loudness(samples))

        ours, took = timed(alone)
        second, second_took = timed(
            lambda samples=samples, rate=rate: find(SecondOpinion(rate, _STEREO), samples)
        )
        levels, meter_took = timed(
            lambda samples=samples, rate=rate: find(Meter(rate, _STEREO), samples)
        )
        peak = levels.true_peak_dbtp - (_over_db(samples) + _CEILING_DBTP)
        length = len(samples) / rate
        rows.append(
            (
                piece,
                ours,
                second.integrated_lufs,
                whole(),
                peak,
                length / took,
                length / meter_took,
                length / second_took,
            )
        )
    head = (
        "piece",
        "loudness LUFS",
        "second opinion",
        "pyloudnorm whole",
        "true peak - soxr 16x, dB",
        "loudness x real time",
        "meter x",
        "second opinion x",
    )
    show("Meters", head, rows)


def _songs() -> None:
    crowd, crowd_rate = soundfile.read(DATA / "sound/noise/concert-crowd.ogg", always_2d=True)
    crowd = soxr.resample(crowd, crowd_rate, 44100)
    rows = []
    for crowd_db in (-30, -12, 0, 6):
        parts, places, at = [crowd], [], len(crowd)
        for name in _SONGS:
            samples, _ = soundfile.read(
                DATA / f"sound/music/{name}.ogg", start=5 * 44100, frames=34 * 44100, always_2d=True
            )
            samples = np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples
            parts += [samples, crowd]
            places.append((at / 44100, (at + len(samples)) / 44100))
            at += len(samples) + len(crowd)
        gain = 10 ** (crowd_db / 20)
        sound = np.concatenate([part * gain if part is crowd else part for part in parts])
        found, took = timed(lambda sound=sound: find(SongFinder(44100, _STEREO), sound))
        worst = float("nan")
        if len(found.songs) == len(places):
            worst = max(
                max(abs(song.from_s - from_s), abs(song.to_s - to_s))
                for song, (from_s, to_s) in zip(found.songs, places, strict=True)
            )
        rows.append((crowd_db, len(places), len(found.songs), worst, len(sound) / 44100 / took))
    head = ("crowd dB", "songs", "found", "worst edge, s", "x real time")
    show("Songs between a crowd", head, rows)
