"""How far a better recording is from the camera's clock, after `align` and after its peer.

Music is warped by a map that is known and filmed by a simulated camera: mono, in a hall (a measured
room whose ringing is shortened to 2 s), with a crowd, low-passed at 10 kHz, at 48 kHz. The peer is
what an editor's "synchronise" does: one offset by whole-file cross-correlation (at 8 kHz, by FFT).
Errors are the map's distance from the truth over all of it, 0.2 s around each cut left out. The
long row is pieces in a row, not one of them twice.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import soxr
from scipy import signal

from encoreaudio.align import Alignment, align
from encoreaudio.error import SoundError
from encoreaudio.warp import AlignedReader, interpolated
from sounds.material import DATA, Samples, show, timed

_MUSIC_HZ, _CAMERA_HZ, _PEER_HZ = 44100, 48000, 8000
_SONGS = ("lets_go_fishin", "vibe_ace", "sugar_plum", "hungarian_dance")

type _Map = Callable[[Samples], Samples]


def table() -> None:
    """Print the errors of both, the cuts that were found, and the speed."""
    fishing = _song("lets_go_fishin")[: 90 * _MUSIC_HZ]
    show_all = np.concatenate([_song(name) for name in _SONGS])
    rows = []
    for title, music, ahead, ppm, crowd_db, room in (
        ("+37.123 s, 0 ppm", fishing, 37.123, 0.0, -6.0, "diffusor3"),
        ("-37.123 s, +50 ppm", fishing, -37.123, 50.0, -6.0, "diffusor3"),
        ("+7 s, -300 ppm, loud crowd", fishing, 7.0, -300.0, 0.0, "tim-warehouse-stretch1"),
        ("-7 s, +1000 ppm, loud crowd", fishing, -7.0, 1000.0, 0.0, "diffusor3"),
        ("a whole programme, -300 ppm", show_all, 11.5, -300.0, -6.0, "diffusor3"),
    ):

        def truth(at: Samples, ahead: float = ahead, ppm: float = ppm) -> Samples:
            return np.asarray(ahead + at * (1 + ppm * 1e-6))

        seconds = len(music) / _MUSIC_HZ - abs(ahead)
        film = _filmed(_warped(music, truth, seconds), crowd_db, room)
        rows.append(_row(title, music, film, (truth,)))
    rows += _cut_rows(fishing)
    show(
        "Alignment: error over the show (ms)",
        (
            "case",
            "seconds",
            "ours worst",
            "ours rms",
            "one offset worst",
            "cuts",
            "agree",
            "x real",
        ),
        rows,
    )
    _strangers()
    _speed()


def _cut_rows(music: Samples) -> list[tuple[object, ...]]:
    def truth(at: Samples) -> Samples:
        return np.asarray(2.0 + at * (1 - 200e-6))

    film = _filmed(_warped(music, truth, 85), -6.0, "diffusor3")
    low, high = (float(truth(np.array(at))) for at in (35.0, 50.0))
    cut = slice(round(low * _MUSIC_HZ), round(high * _MUSIC_HZ))
    extra = _song("vibe_ace")[: 10 * _MUSIC_HZ]
    lacking = np.delete(music, cut, axis=0)
    longer = np.concatenate([music[: cut.start], extra, music[cut.start :]])
    dropped = np.delete(film, slice(40 * _CAMERA_HZ, 40 * _CAMERA_HZ + 1920), axis=0)
    return [
        _row("source lacks 35..50 s", lacking, film, (truth, lambda at: truth(at) - (high - low))),
        _row("source has 10 s more at 35 s", longer, film, (truth, lambda at: truth(at) + 10)),
        _row("camera lost 40 ms at 40 s", music, dropped, (truth, lambda at: truth(at + 0.04))),
    ]


def _row(
    title: str, source: Samples, film: Samples, truths: tuple[_Map, ...]
) -> tuple[object, ...]:
    with TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "source.wav", Path(folder) / "film.wav"
        soundfile.write(ours, source, _MUSIC_HZ, "FLOAT")
        soundfile.write(theirs, film, _CAMERA_HZ, "FLOAT")
        found, took_s = timed(lambda: align(ours, theirs))
    at = np.arange(0, len(film) / _CAMERA_HZ, 0.05)
    inside, off = _off(found, at, truths)
    one = _one_offset(source, film)
    peer = np.abs(np.min([np.abs(at + one - truth(at)) for truth in truths], axis=0))[inside]
    seconds = len(film) / _CAMERA_HZ
    cuts = ", ".join(
        f"{edit.reference_s:.2f} s: -{edit.missing_s:.2f} +{edit.skipped_s:.2f}"
        for edit in found.edits
    )
    return (
        title,
        round(seconds),
        f"{off.max() * 1e3:.3f}",
        f"{np.sqrt(np.mean(off**2)) * 1e3:.3f}",
        float(peer.max() * 1e3),
        cuts or "none",
        found.confidence,
        round(seconds / took_s),
    )


def _off(found: Alignment, at: Samples, truths: tuple[_Map, ...]) -> tuple[Samples, Samples]:
    inside = np.zeros(len(at), bool)
    source = np.zeros(len(at))
    for part in found.segments:
        here = (at > part.reference_from_s + 0.2) & (at < part.reference_to_s - 0.2)
        inside |= here
        source[here] = part.source_s(at[here])
    off = np.min([np.abs(source - truth(at)) for truth in truths], axis=0)
    return inside, off[inside]


def _one_offset(source: Samples, film: Samples) -> float:
    a = soxr.resample(film.mean(axis=1), _CAMERA_HZ, _PEER_HZ)
    b = soxr.resample(source.mean(axis=1), _MUSIC_HZ, _PEER_HZ)
    likeness = np.abs(signal.correlate(b, a, mode="full", method="fft"))
    return float(likeness.argmax() - (len(a) - 1)) / _PEER_HZ


def _song(name: str) -> Samples:
    samples, rate = soundfile.read(DATA / f"sound/music/{name}.ogg", always_2d=True)
    samples = np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples
    return np.asarray(soxr.resample(samples, rate, _MUSIC_HZ) if rate != _MUSIC_HZ else samples)


def _warped(music: Samples, source_s: _Map, seconds: float) -> Samples:
    """Mono at the camera's rate: linear between samples of an eightfold rate, piece by piece."""
    mono = music.mean(axis=1)
    count = round(seconds * _CAMERA_HZ)
    out = np.zeros(count)
    for first in range(0, count, 30 * _CAMERA_HZ):
        at = source_s(np.arange(first, min(first + 30 * _CAMERA_HZ, count)) / _CAMERA_HZ)
        low = max(0, int(at[0] * _MUSIC_HZ) - 2000)
        part = mono[low : max(low, int(at[-1] * _MUSIC_HZ) + 2000)]
        if len(part):
            fine = soxr.resample(part, _MUSIC_HZ, 8 * _MUSIC_HZ, "VHQ")
            place = (at * _MUSIC_HZ - low) * 8
            out[first : first + len(at)] = np.interp(
                place, np.arange(len(fine)), fine, left=0, right=0
            )
    return out


def _filmed(sound: Samples, crowd_db: float, room: str) -> Samples:
    hall, rate = soundfile.read(DATA / f"sound/rooms/{room}.wav", always_2d=True)
    hall = soxr.resample(hall[:, 0], rate, _CAMERA_HZ)
    # What comes straight counts as in time: the hall's own delay is no error.
    direct = int(np.abs(hall).argmax())
    hall *= 10 ** (-0.9 * np.maximum(0, np.arange(len(hall)) - direct) / _CAMERA_HZ)
    sound = signal.oaconvolve(sound, hall)[direct:][: len(sound)]
    crowd, rate = soundfile.read(DATA / "sound/noise/concert-crowd.ogg", always_2d=True)
    crowd = np.resize(soxr.resample(crowd.mean(axis=1), rate, _CAMERA_HZ), len(sound))
    sound = sound / sound.std() + 10 ** (crowd_db / 20) * crowd / crowd.std()
    dull = signal.butter(4, 10000, fs=_CAMERA_HZ, output="sos")
    return np.asarray(0.05 * signal.sosfilt(dull, sound)[:, np.newaxis])


def _strangers() -> None:
    rows = []
    for ours, theirs in (("vibe_ace", "lets_go_fishin"), ("sugar_plum", "hungarian_dance")):
        try:
            align(DATA / f"sound/music/{ours}.ogg", DATA / f"sound/music/{theirs}.ogg")
            said = "ALIGNED"
        except SoundError as error:
            said = str(error).split(": ", 1)[1]
        rows.append((ours, theirs, said))
    show("Alignment: music that does not belong together", ("source", "reference", "said"), rows)


def _speed() -> None:
    noise = np.random.default_rng(0).standard_normal((20 * 48000, 2)) * 0.1
    tone = np.sin(2 * np.pi * 15000 * np.arange(48000) / 48000)[:, np.newaxis]
    at = 1000.3 + np.arange(40000) * 1.0003
    error = interpolated(tone, at)[:, 0] - np.sin(2 * np.pi * 15000 * at / 48000)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "noise.wav"
        soundfile.write(path, noise, 48000, "FLOAT")
        found = align(path, path)
        with AlignedReader(path, found) as reader:
            _, took_s = timed(lambda: [len(block) for block in reader.blocks()])
    show(
        "Alignment: playing the source on the reference's clock (48 kHz stereo)",
        ("error of 15 kHz (dB)", "x real time"),
        [(float(10 * np.log10(np.mean(error**2) / 0.5)), round(20 / took_s))],
    )
