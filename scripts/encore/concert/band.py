"""The demo's sound: a synthesised band and its audience in a hall, as an old tape kept it.

Drums are decaying sines and filtered noise, the guitar is a plucked string (Karplus and Strong,
"Digital Synthesis of Plucked-String and Drum Timbres", Computer Music Journal 7:2, 1983), the voice
a sawtooth through the formants of its vowel, the hall a convolution with decaying noise. On top
come what a restoration is there for: hiss, mains hum and a small direct-current offset.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from encore.concert import score

__all__ = ["sound"]

Mono = NDArray[np.float64]

_FORMANTS_HZ = {
    "a": (800, 1150, 2900),
    "e": (400, 1700, 2600),
    "i": (300, 2100, 2900),
    "o": (450, 800, 2830),
    "u": (325, 700, 2700),
}
_HALL_S = 1.6
_HISS = 10 ** (-60 / 20)
_HUM = 10 ** (-52 / 20)
_DC = 0.004


def sound(seconds: float, seed: int = 0, rate: int = 48000) -> NDArray[np.float32]:
    """The concert's sound, (samples, 2), within -1..1; the same for the same arguments."""
    rng = np.random.default_rng([seed, 0x50])
    length = round(seconds * rate)
    band = _Band(length, rate, rng)
    dry = np.stack(
        [
            band.drums() + band.bass() + 0.7 * band.guitar(1.0) + 0.9 * band.voice(),
            band.drums(0.8) + band.bass() + 0.7 * band.guitar(1.003) + 0.9 * band.voice(),
        ]
    )
    dry += 0.35 * np.stack([band.pad(0.997), band.pad(1.004)])
    wet = signal.fftconvolve(dry, _hall(rate, rng), axes=1)[:, :length]
    audience = np.stack([band.audience(), band.audience()])
    played = np.tanh(0.55 * dry + 0.4 * wet + 0.5 * audience)
    return (0.35 * played + _tape(length, rate, rng)).T.astype(np.float32)


class _Band:
    """Every instrument plays the whole concert at once and gives one channel of it."""

    def __init__(self, length: int, rate: int, rng: np.random.Generator) -> None:
        self._length, self._rate, self._rng = length, rate, rng
        self._seconds = length / rate

    def drums(self, hats: float = 1.0) -> Mono:
        out = self._silence()
        kick = self._decay(0.3, 0.07) * np.sin(
            2 * np.pi * np.cumsum(45 + 110 * self._decay(0.3, 0.03)) / self._rate
        )
        snare = self._decay(0.25, 0.06) * self._noise(0.25, (900, 8000)) * 1.6
        snare += 0.5 * self._decay(0.25, 0.04) * np.sin(2 * np.pi * 185 * self._time(0.25))
        hat = self._decay(0.08, 0.016) * self._noise(0.08, (6500, 16000)) * hats
        for eighth in range(math.ceil(self._seconds / (score.BEAT_S / 2))):
            at = eighth * score.BEAT_S / 2
            self._add(out, at, hat, 0.4 if eighth % 2 else 0.25)
            if eighth % 8 in (0, 3, 4):
                self._add(out, at, kick, 0.9)
            if eighth % 8 in (2, 6):
                self._add(out, at, snare, 0.55)
        return out

    def bass(self) -> Mono:
        out = self._silence()
        low = signal.butter(2, 500, fs=self._rate, output="sos")
        for eighth in range(math.ceil(self._seconds / (score.BEAT_S / 2))):
            at = eighth * score.BEAT_S / 2
            pitch = score.BASS[int(at / score.BAR_S) % 4] + (12 if eighth % 8 == 7 else 0)
            tone = _saw(_hz(pitch) * self._time(0.24)) * self._decay(0.24, 0.18)
            self._add(out, at, signal.sosfilt(low, tone) * _edges(len(tone)), 0.5)
        return out

    def guitar(self, detune: float) -> Mono:
        out = self._silence()
        for sixteenth in range(math.ceil(self._seconds / (score.BEAT_S / 2))):
            at = sixteenth * score.BEAT_S / 2
            chord = score.CHORDS[int(at / score.BAR_S) % 4]
            period = round(self._rate / (_hz(chord[sixteenth % 3] + 12) * detune))
            string = np.zeros(round(0.45 * self._rate))
            string[:period] = self._rng.uniform(-1, 1, period)
            loop = np.zeros(period + 2)
            loop[0], loop[-2:] = 1.0, -0.497
            self._add(out, at, signal.lfilter([1.0], loop, string) * _edges(len(string)), 0.25)
        return out

    def voice(self) -> Mono:
        out = self._silence()
        for note in score.sung(self._seconds):
            time = self._time(note.length_s + 0.08)
            vibrato = 0.012 * np.clip((time - 0.15) / 0.2, 0, 1) * np.sin(2 * np.pi * 5.6 * time)
            glide = -0.06 * np.exp(-time / 0.04)
            cycles = np.cumsum(_hz(note.pitch - 12) * (1 + vibrato + glide)) / self._rate
            throat = _saw(cycles) + 0.04 * self._rng.standard_normal(len(time))
            tone = np.zeros(len(time))
            for loudness, formant in zip((1.0, 0.6, 0.25), _FORMANTS_HZ[note.vowel], strict=True):
                b, a = signal.iirpeak(formant, 7, fs=self._rate)
                tone += loudness * signal.lfilter(b, a, throat)
            shape = np.clip(time / 0.05, 0, 1) * np.clip((time[-1] - time) / 0.08, 0, 1)
            self._add(out, note.start_s, tone * shape, 0.85)
        return out

    def pad(self, detune: float) -> Mono:
        out = self._silence()
        low = signal.butter(2, 1400, fs=self._rate, output="sos")
        for bar in range(math.ceil(self._seconds / score.BAR_S)):
            time = self._time(score.BAR_S + 0.1)
            cycles = [_hz(p) * d * time for p in score.CHORDS[bar % 4] for d in (1.0, detune)]
            chord = np.sum([_saw(c) for c in cycles], axis=0)
            shape = np.clip(time / 0.1, 0, 1) * np.clip((time[-1] - time) / 0.1, 0, 1)
            self._add(out, bar * score.BAR_S, signal.sosfilt(low, chord) * shape, 0.12)
        return out

    def audience(self) -> Mono:
        """Murmur that swells at each new bar, and people clapping on two and four."""
        time = np.arange(self._length) / self._rate
        swell = 0.35 + 0.65 * np.exp(-(time % (2 * score.BAR_S)) / 0.9)
        out = self._noise(self._seconds, (350, 2600))[: self._length] * swell * 0.10
        clap = self._decay(0.06, 0.009) * self._noise(0.06, (900, 4500))
        for beat in range(1, math.ceil(self._seconds / score.BEAT_S), 2):
            for late in self._rng.normal(0.01, 0.025, 24):
                at = max(0.0, beat * score.BEAT_S + late)
                self._add(out, at, clap, self._rng.uniform(0.02, 0.14))
        return out

    def _silence(self) -> Mono:
        return np.zeros(self._length)

    def _time(self, seconds: float) -> Mono:
        return np.arange(round(seconds * self._rate)) / self._rate

    def _decay(self, seconds: float, constant_s: float) -> Mono:
        return np.exp(-self._time(seconds) / constant_s)

    def _noise(self, seconds: float, band_hz: tuple[float, float]) -> Mono:
        """Noise of unit level between two frequencies."""
        count = max(1, round(seconds * self._rate))
        top = min(band_hz[1], 0.45 * self._rate)
        sos = signal.butter(2, (band_hz[0], top), "bandpass", fs=self._rate, output="sos")
        noise: Mono = signal.sosfilt(sos, self._rng.standard_normal(count + 512))[512:]
        return noise / max(float(noise.std()), 1e-9)

    def _add(self, out: Mono, at_s: float, tone: Mono, gain: float) -> None:
        start = round(at_s * self._rate)
        count = min(len(tone), self._length - start)
        if count > 0:
            out[start : start + count] += gain * tone[:count]


def _hall(rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two impulse responses of one hall: noise that falls by 60 dB, the treble sooner."""
    time = np.arange(round(_HALL_S * rate)) / rate
    noise = rng.standard_normal((2, len(time)))
    low = signal.butter(1, 2500, fs=rate, output="sos")
    dark = signal.sosfilt(low, noise, axis=1) * 10 ** (-3 * time / _HALL_S)
    bright = 0.3 * noise * 10 ** (-3 * time / (0.4 * _HALL_S))
    tail = (dark + bright) * np.clip(time / 0.012, 0, 1) ** 2
    return np.asarray(tail / np.sqrt((tail**2).sum(axis=1, keepdims=True)))


def _tape(length: int, rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """What the tape added: hiss, hum of 50 Hz mains with its harmonics, and an offset."""
    time = np.arange(length) / rate
    hum = sum(np.sin(2 * np.pi * 50 * n * time + n) / n for n in (1, 2, 3, 5, 7))
    return np.asarray(_HISS * rng.standard_normal((2, length)) + _HUM * hum + _DC)


def _hz(pitch: float) -> float:
    return float(440 * 2 ** ((pitch - 69) / 12))


def _saw(cycles: Mono) -> Mono:
    return 2 * (cycles % 1.0) - 1


def _edges(count: int) -> Mono:
    """Two milliseconds in and ten out at 48 kHz, against clicks."""
    at = np.arange(count)
    return np.clip(at / 96, 0, 1) * np.clip((count - 1 - at) / 480, 0, 1)
