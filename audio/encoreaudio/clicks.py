"""Clicks and crackle, found by prediction and taken out of the wave.

A click is a few samples that the music before them and the music after them both deny. Each window
gets a short predictor; its error, filtered back with the same predictor (the matched filter for a
single false sample), stands far out of its neighbourhood at a click. What stands out is a click
only if the wave goes on behind it as if nothing had been: with the false samples put right the
error must fall back to what it is around. A drum or a plucked string fails that, for the sound
behind the attack cannot be foretold from the sound before it, and so does a voice or a trumpet,
whose pulses come again within hundredths of a second. Most windows hold nothing of the kind, which
is seen for many of them at once; only the others are looked at one by one.

The false samples are then estimated with a long predictor fitted around them, as music plus a
disturbance whose variance is learned sample by sample, so that a repair shrinks to nothing where
the music is less certain than the disturbance (S. J. Godsill and P. J. W. Rayner, "Digital Audio
Restoration", 1998, chapters 5 and 9; the variances as in M. E. Tipping's sparse Bayesian learning,
2001). All other samples pass bit for bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import maximum_filter1d, percentile_filter, uniform_filter1d

from .prediction import Model, Places, Plane, error_filters
from .signal import Block, joined
from .window import Windows

__all__ = ["Click", "ClickFinder", "ClickRepair", "Clicks"]

_UNIT_S = 0.005  # the local scale's grain
_HOP_UNITS = 16
_AROUND_UNITS = 8
_SHORT_ORDER_S = 0.00067
_LONG_ORDER_S = 0.0053
_LONGEST_S = 0.004
_JOIN_S = 0.00033

# Times the local scale, which is a standard deviation in quiet noise: music alone reaches 8.
_OUTSTANDING = 10.0
# With crackle a place is likelier to be false, and more harm is done by leaving it.
_OUTSTANDING_IN_CRACKLE = 7.0
_CRACKLE_PER_S = 10.0
_CRACKLE_MEMORY_S = 2.0
# Times the fifth-highest peak of the 60 ms around: pulses of a voice are each other's measure.
_ALONE = 1.5
_AROUND_BLOCKS, _OTHERS_PERCENT = 25, 80
_EDGE = 4.0  # times the error's scale, both from before and from behind
_RETURNS = 6.0  # times the error's variance around: what may be left after the repair
_ATTACK = 10.0  # times the error's variance before: behind it something new sounds
_ENTRY = 5.0  # the same of the sound itself over 5 ms: an attack without treble
_FAINTEST = 1e-4  # -80 dBFS: below it a click is not heard, and a last bit's step is not one
_PASSES = 3
_LEARNING_ROUNDS = 5
_MOST_PLACES = 1000
_AT_ONCE = 8  # planes: what stays in a processor's cache

type _Singles = npt.NDArray[np.float32]
type _Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Click:
    """A click that was found: when, in which channel, how long, and its height at full scale 1."""

    at_s: float
    channel: int
    frames: int
    height: float


@dataclass(frozen=True)
class Clicks:
    """What was found in a stream: places holds the first thousand of count."""

    count: int
    per_minute: float
    places: tuple[Click, ...]


class ClickRepair:
    """Takes clicks out of a stream of any channels; each channel by itself.

    amount: the share of each click that is taken out, 0 to 1. repaired: how many clicks so far.
    places: the first thousand of them.
    """

    def __init__(self, sample_rate_hz: int, channels: int, amount: float = 1.0) -> None:
        self._rate = sample_rate_hz
        self._amount = amount
        unit = 2 ** max(6, round(np.log2(_UNIT_S * sample_rate_hz)))
        self._surgeon = _Surgeon(sample_rate_hz, unit)
        self._channels = channels
        around = _AROUND_UNITS * unit
        self._windows = Windows(_HOP_UNITS * unit, around, around, channels, edge="mirror")
        # A click may reach beyond its window's middle; the next window goes on from the repair.
        self._mended: Block | None = None
        self._density = np.zeros(channels)  # clicks a second, lately
        self._fading = np.exp(-self._windows.hop / sample_rate_hz / _CRACKLE_MEMORY_S)
        self._frames = 0
        self.repaired = 0
        self.places: list[Click] = []

    @property
    def latency(self) -> int:
        """Frames held back at most."""
        return self._windows.hop + self._windows.after

    def process(self, block: Block) -> Block:
        """Take a block (frames, channels); give what is ready."""
        if not self._amount:
            return block
        return self._all_cleaned([(held, self._windows.hop) for held in self._windows.push(block)])

    def flush(self) -> Block:
        """The rest of the stream."""
        return self._all_cleaned(list(self._windows.finish()))

    def _all_cleaned(self, windows: list[tuple[Block, int]]) -> Block:
        suspects = self._surgeon.suspects([window for window, _ in windows], self._windows.before)
        return joined(
            [
                self._cleaned(window, real, suspect)
                for (window, real), suspect in zip(windows, suspects, strict=True)
            ],
            self._channels,
        )

    def _cleaned(self, window: Block, real: int, suspect: _Flags) -> Block:
        before, hop = self._windows.before, self._windows.hop
        dry = window[before : before + real]
        counts = np.zeros(self._channels)
        if self._mended is None and not suspect.any():
            self._pass(real, counts)
            return dry
        wet = np.array(window.T, order="C")
        if self._mended is not None:
            wet[:, : len(self._mended)] = self._mended.T
        if np.isfinite(wet).all():
            for channel, plane in enumerate(wet):
                if suspect[channel] or self._mended is not None:
                    counts[channel] = self._clean(plane, channel, real)
        reach = slice(hop, hop + before + self._surgeon.longest)
        self._mended = wet[:, reach].T if counts.any() else None
        self._pass(real, counts)
        middle: Block = dry + self._amount * (wet[:, before : before + real].T - dry)
        return middle

    def _pass(self, frames: int, counts: Plane) -> None:
        """Go on by so many frames, in which each channel had so many clicks."""
        self._frames += frames
        self.repaired += int(counts.sum())
        lately = counts * self._rate / self._windows.hop
        self._density += (1 - self._fading) * (lately - self._density)

    def _clean(self, plane: Plane, channel: int, real: int) -> int:
        """Repair a channel's window in place; how many clicks it had."""
        crackle = self._density[channel] > _CRACKLE_PER_S
        least = _OUTSTANDING_IN_CRACKLE if crackle else _OUTSTANDING
        before = self._windows.before
        # The mirrored stream has a kink at each of its ends.
        start = before + (0 if self._frames else self._surgeon.longest)
        end = before + real - (0 if real == self._windows.hop else self._surgeon.longest)
        count = 0
        for first, last, height in self._surgeon.operate(plane, start, end, least):
            count += 1
            if len(self.places) < _MOST_PLACES:
                at_s = round((self._frames + first - before) / self._rate, 4)
                self.places.append(
                    Click(float(at_s), channel, int(last - first + 1), round(height, 5))
                )
        return count


class ClickFinder:
    """Counts the clicks of a stream that `ClickRepair` would take out."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._rate = sample_rate_hz
        self._repair = ClickRepair(sample_rate_hz, channels)
        self._frames = 0

    def add(self, block: Block) -> None:
        """Take a block (frames, channels)."""
        self._frames += len(block)
        self._repair.process(block)

    def finish(self) -> Clicks:
        """The stream has ended."""
        self._repair.flush()
        minutes = self._frames / self._rate / 60
        count = self._repair.repaired
        return Clicks(count, count / minutes if minutes else 0.0, tuple(self._repair.places))


class _Surgeon:
    """Finds and repairs the clicks of one channel's window, in place."""

    def __init__(self, sample_rate_hz: int, unit: int) -> None:
        self._unit = unit
        self._short = max(16, round(_SHORT_ORDER_S * sample_rate_hz))
        self._long = int(np.clip(round(_LONG_ORDER_S * sample_rate_hz), 32, 512))
        self.longest = round(_LONGEST_S * sample_rate_hz)
        self._join = max(4, round(_JOIN_S * sample_rate_hz))
        self._margin = self._join // 4

    def suspects(self, windows: Sequence[Block], before: int) -> list[_Flags]:
        """For each window (frames, channels) the channels that may hold a click.

        Looked at is what lies at least `before` from the window's ends. Where `operate` would find
        anything by itself, with whichever measure, the channel is among them.
        """
        if not windows:
            return []
        size, channels = windows[0].shape
        planes = np.array([window.T for window in windows], dtype=np.float32).reshape(-1, size)
        parts = [planes[at : at + _AT_ONCE] for at in range(0, len(planes), _AT_ONCE)]
        flags = np.concatenate([self._suspect(part, before) for part in parts])
        return list(flags.reshape(-1, channels))

    def _suspect(self, planes: _Singles, before: int) -> _Flags:
        """Of planes (planes, samples) those that may hold a click."""
        half = self._unit // 2
        error = _matched_errors(planes, self._short).reshape(len(planes), -1, half)
        peaks = error.max(axis=2)
        asked = np.arange(before // half, peaks.shape[1] - before // half)
        around = asked[:, np.newaxis] - _AROUND_BLOCKS // 2 + np.arange(_AROUND_BLOCKS)
        rank = _AROUND_BLOCKS * _OTHERS_PERCENT // 100
        others = np.partition(peaks[:, around], rank, axis=2)[:, :, rank]
        # The scale takes longest to find, so only where it is still asked for.
        plane, cell = np.nonzero(peaks[:, asked] > _ALONE * others)
        top = peaks[plane, asked[cell]]
        near = asked[cell, np.newaxis] // 2 + np.arange(-1, 2)
        units = error.reshape(len(planes), -1, self._unit)[plane[:, np.newaxis], near]
        scale = np.median(units, axis=2).max(axis=1) / 0.6745
        flags = np.zeros(len(planes), dtype=np.bool_)
        flags[plane[top > _OUTSTANDING_IN_CRACKLE * scale]] = True
        return flags

    def operate(
        self, plane: Plane, start: int, end: int, least: float
    ) -> Iterator[tuple[int, int, float]]:
        """Each click that begins in start..end, once repaired: first and last sample, height."""
        damaged = plane.copy()
        denied: list[int] = []
        mended: dict[tuple[int, int], float] = {}
        for _ in range(_PASSES):
            found = [
                at
                for at in self._outstanding(plane, start, end, least)
                if all(abs(at - other) > self._short for other in denied)
            ]
            calm = _bridged(plane, found, self._short)
            fresh: list[tuple[int, int]] = []
            for at in found:
                if any(self._near(at, click) for click in fresh):
                    continue
                # What still stands out beside a repair is more of the same click.
                parts = [click for click in mended if self._near(at, click)]
                first = min([at - self._margin, *(click[0] for click in parts)])
                last = max([at + self._margin, *(click[1] for click in parts)])
                again = plane.copy()
                again[first : last + 1] = damaged[first : last + 1]
                done = self._repair(again, calm, first, last)
                if done is None:
                    denied.append(at)
                    continue
                plane[:] = again
                for click in parts:
                    del mended[click]
                first, last, height = done
                mended[first, last] = height
                fresh.append((first, last))
            if not fresh:
                break
        for (first, last), height in sorted(mended.items()):
            yield first, last, height

    def _near(self, at: int, click: tuple[int, int]) -> bool:
        return click[0] - self._short <= at <= click[1] + self._short

    def _outstanding(self, plane: Plane, start: int, end: int, least: float) -> Places:
        """Where the matched error stands out, highest first."""
        error = _matched_errors(plane.astype(np.float32)[np.newaxis], self._short)[0]
        scale = np.median(error.reshape(-1, self._unit), axis=1) / 0.6745
        peaks = error.reshape(-1, self._unit // 2).max(axis=1)
        others = percentile_filter(peaks, _OTHERS_PERCENT, _AROUND_BLOCKS)
        bar = np.maximum(np.repeat(least * maximum_filter1d(scale, 3), 2), _ALONE * others).repeat(
            self._unit // 2
        )[start:end]
        middle = error[start:end]
        hot = np.flatnonzero(middle > bar)
        if not len(hot):
            return hot
        highest = maximum_filter1d(middle, 2 * self._short + 1)
        tops = hot[middle[hot] == highest[hot]]
        ranked: Places = start + tops[np.argsort(-middle[tops], kind="stable")]
        return ranked

    def _repair(
        self, plane: Plane, calm: Plane, first: int, last: int
    ) -> tuple[int, int, float] | None:
        """Repair the click that has these samples at least, unless it is none."""
        reach = _AROUND_UNITS * self._unit
        low = max(0, first - reach)
        sound = plane[low : last + reach]
        extent = self._extent(sound, calm[low : last + reach], first - low, last - low)
        if extent is None:
            return None
        places, filled = extent
        model = Model(filled, self._long)
        variance = np.median(np.abs(model.errors(filled))) ** 2 / 0.455
        false = _disturbance(model, sound, places, variance)
        height = float(np.abs(false).max())
        if height < _FAINTEST:
            return None
        sound[places] -= false
        return low + int(places[0]), low + int(places[-1]), height

    def _extent(
        self, sound: Plane, calm: Plane, first: int, last: int
    ) -> tuple[Places, Plane] | None:
        """The click's samples, and the sound without them; None where there is no end to it.

        It takes in what is still denied when it is filled, until the wave goes on over it.
        """
        centre = (first + last) // 2
        model = Model(_bridged(calm, [centre], self.longest // 2), self._short)
        while True:
            inside = first >= 2 * self._long and last < len(sound) - 2 * self._long
            if not inside or last - first >= self.longest:
                return None
            places = np.arange(first, last + 1)
            filled = sound.copy()
            filled[places] -= _disturbance(model, sound, places, 0.0)
            before, behind = self._usual(model, filled, first, last)
            usual = max(before, behind)
            reach = self._join + model.order
            near = filled[first - reach : last + reach + 1]
            hot = first - self._join + np.flatnonzero(_denied(model, near) > _EDGE**2 * usual)
            if len(hot) and (hot[0] < first or hot[-1] > last):
                first = min(first, int(hot[0]) - self._margin)
                last = max(last, int(hot[-1]) + self._margin)
                continue
            left = model.errors(filled[first - model.order : last + model.order + 1])
            if float(np.mean(left**2)) < _RETURNS * usual:
                new = behind > _ATTACK * before or self._louder(filled, first, last)
                return None if new else (places, filled)
            first, last = first - 1, last + 1

    def _louder(self, filled: Plane, first: int, last: int) -> bool:
        """Whether the sound is far louder behind these samples than before them."""
        before = float(np.var(filled[first - self._unit : first]))
        behind = float(np.var(filled[last + 1 : last + 1 + self._unit]))
        return behind > _ENTRY * before

    def _usual(self, model: Model, filled: Plane, first: int, last: int) -> tuple[float, float]:
        """The variance of the prediction error before and behind these samples."""
        reach = model.order + 2 * self._unit
        before, behind = (
            float(np.median(model.errors(side) ** 2)) / 0.455
            for side in (filled[first - reach : first], filled[last + 1 : last + 1 + reach])
        )
        return before, behind


def _matched_errors(planes: _Singles, order: int) -> _Singles:
    """The prediction error of planes (planes, samples), filtered back, without its sign.

    Always as many are transformed, for the last bits depend on the company, and the filters of a
    deep bass on the last bits.
    """
    count, size = planes.shape
    filled = np.zeros((_AT_ONCE, size), dtype=np.float32)
    filled[:count] = planes
    spectra = scipy.fft.rfft(filled)
    # A Hann window, by its three lines in the spectrum.
    seen = spectra[:, 1:-1] - np.float32(0.5) * (spectra[:, :-2] + spectra[:, 2:])
    squares = np.square(seen.view(np.float32))
    power = np.zeros(spectra.shape, dtype=np.float32)
    np.add(squares[:, ::2], squares[:, 1::2], out=power[:, 1:-1])
    lags = scipy.fft.irfft(power, size)[:, : order + 1].astype(np.float64)
    responses = scipy.fft.rfft(error_filters(lags).astype(np.float32), size)
    spectra *= responses.real**2 + responses.imag**2
    errors: _Singles = scipy.fft.irfft(spectra, size)
    np.abs(errors, out=errors)
    errors[lags[:, 0] <= 0] = 0.0
    return errors[:count]


def _denied(model: Model, sound: Plane) -> Plane:
    """The squared error that both directions of time find, of all samples but `order` each side."""
    ahead = model.errors(sound)[: -model.order]
    behind = model.errors(sound[::-1])[::-1][model.order :]
    return np.minimum(ahead**2, behind**2)


def _bridged(sound: Plane, places: Sequence[int], reach: int) -> Plane:
    """The sound with a straight line over what lies around each place."""
    bridged = sound.copy()
    for at in places:
        low, high = max(0, at - reach), min(len(sound) - 1, at + reach)
        bridged[low : high + 1] = np.linspace(bridged[low], bridged[high], high + 1 - low)
    return bridged


def _disturbance(model: Model, sound: Plane, places: Places, noise: float) -> Plane:
    """What has been added to the music at these places, which follow each other.

    noise: the variance of the music's prediction error; 0: take the music's word for everything.
    """
    order = model.order
    strain = model.strain(sound[places[0] - order : places[-1] + order + 1])
    curve = model.equations(places)
    if not noise:
        return np.linalg.solve(curve, strain)
    variance = np.full(len(places), np.var(sound))
    for _ in range(_LEARNING_ROUNDS):
        # (C + noise / V)^-1 with V's root taken out to both sides, which keeps it well conditioned.
        root = np.sqrt(variance / noise)
        inverse = np.linalg.inv(root[:, np.newaxis] * curve * root + np.eye(len(places)))
        spread = noise * root**2 * np.diag(inverse)
        found = root * (inverse @ (root * strain))
        variance = uniform_filter1d(found**2 + spread, 5, mode="nearest")
    return found
