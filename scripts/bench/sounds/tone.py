"""Tone: how near a matched piece comes to its reference, and what that costs.

The first table undoes a known equaliser (FFmpeg's, over real music): what is left of it, rms over
third-octave-wide bands from 60 Hz to 14 kHz. The second matches pieces to other pieces, and to the
named curves: rms difference of the spectra before and after with the gain held within 6 dB, the
largest gain, the change of loudness, and how many times faster than the sound plays.
"""

import numpy as np

from encoreaudio.loudness import Loudness
from encoreaudio.spectrum import BANDS_HZ, LongTermSpectrum, SpectrumFinder
from encoreaudio.tone import Tone, tone_curve
from sounds.material import Samples, ffmpeg_filter, find, music, run_stage, show, timed

_STEREO = ("FL", "FR")
_KNOWN = {
    "treble -4": "treble=g=-4:f=3000",
    "treble +4": "treble=g=4:f=3000",
    "bass +5": "bass=g=5:f=120",
    "presence -4": "equalizer=f=2500:t=o:w=2:g=-4",
}
_PAIRS = (
    ("rock", "folk"),
    ("folk", "rock"),
    ("funk", "folk"),
    ("strings", "rock"),
    ("jazz", "folk"),
    ("folk", "concert"),
    ("rock", "neutral"),
    ("jazz", "warm"),
)


def table() -> None:
    """Print both tables."""
    rows: list[list[object]] = []
    for piece in ("rock", "folk", "jazz", "strings"):
        samples, rate = music(piece)
        for name, graph in _KNOWN.items():
            bent = ffmpeg_filter(samples * 0.5, rate, graph)
            wanted = _spectrum(samples, rate)
            curve = tone_curve(_spectrum(bent, rate), wanted, 1.0)
            back = run_stage(Tone(rate, _STEREO, curve), bent)
            before, after = (_apart(_spectrum(heard, rate), wanted) for heard in (bent, back))
            rows.append([piece, name, before, after])
    show("Tone: a known equaliser undone, rms dB", ["piece", "equaliser", "before", "after"], rows)

    rows = []
    for source, target in _PAIRS:
        samples, rate = music(source)
        before_it, finding_s = timed(lambda s=samples, r=rate: _spectrum(s, r))  # type: ignore[misc]
        named = target in ("concert", "neutral", "warm")
        towards = target if named else _spectrum(*music(target))
        curve = tone_curve(before_it, towards, 1.0)
        out, playing_s = timed(
            lambda s=samples, r=rate, c=curve: run_stage(Tone(r, _STEREO, c), s)  # type: ignore[misc]
        )
        apart: list[object] = ["", ""]
        if isinstance(towards, LongTermSpectrum):
            apart = [_apart(before_it, towards), _apart(_spectrum(out, rate), towards)]
        length_s = len(samples) / rate
        rows.append(
            [
                f"{source} to {target}",
                *apart,
                max(map(abs, curve.mid_db + curve.side_db)),
                _lufs(out, rate) - _lufs(samples, rate),
                round(length_s / finding_s),
                round(length_s / playing_s),
            ]
        )
    show(
        "Tone: one recording towards another, rms dB",
        ["pieces", "before", "after", "largest gain", "loudness, LU", "finder, x", "stage, x"],
        rows,
    )


def _spectrum(samples: Samples, rate: int) -> LongTermSpectrum:
    found: LongTermSpectrum = find(SpectrumFinder(rate, _STEREO), samples)
    return found


def _apart(one: LongTermSpectrum, other: LongTermSpectrum) -> float:
    hertz = np.array(BANDS_HZ)
    pairs = np.array(
        [
            np.convolve(np.array(s.mid_db)[(hertz > 60) & (hertz < 14000)], (0.5, 0.5), "valid")
            for s in (one, other)
        ]
    )
    return float(np.std(pairs[0] - pairs[1]))


def _lufs(samples: Samples, rate: int) -> float:
    loudness = Loudness(rate, _STEREO)
    loudness.add(samples)
    return loudness.finish() or 0.0
