"""Where a better recording of the same sound lies on the camera's clock.

Three looks, each closer. (1) Both files become envelopes: how loud each band is against its own
surroundings in time, fifty times a second, which hardly depends on equaliser, level or hall; every
stretch of the reference is looked for in all of the source by correlation. (2) Along what was
found, short windows of the waveforms are correlated with all frequencies given about the same
weight (C. H. Knapp and G. C. Carter's generalised cross-correlation, 1976), and neighbouring
correlations are added along slanted lines, which finds offset and drift together where no window
says enough alone. (3) The same with longer windows, the source already on that line, to a part of
a sample. Each look gives several peaks; the path that agrees with itself the longest is kept
(dynamic programming; a jump has its price), so its jumps are the cuts. Between cuts a clock is a
straight line, or a smooth one where it wandered. A cut lies where the waveforms stop agreeing along
one line and begin to along the other.

Thin mono copies (8 kHz) lie in unnamed temporary files; what is held is the envelopes, about 30 kB
for each second of the show while they are compared.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt
from scipy import fft, linalg, ndimage, signal

from .closes import Closes
from .error import SoundError
from .rate import Resampler
from .stream import Reader
from .warp import Alignment, Edit, Gap, Numbers, Segment, interpolated

__all__ = ["Alignment", "Edit", "Gap", "Segment", "align"]

type Progress = Callable[[float], None]
type Floats = npt.NDArray[np.float32]
type Halves = npt.NDArray[np.float16]

# A camera's and a tape's clock keep to 0.1 %, with a little room.
_MOST_DRIFT = 1.25e-3
_THIN_HZ = 8000

# First look.
_HOP = 160
_FRAME = 1024
_ENVELOPES_HZ = _THIN_HZ / _HOP
_RISE_FRAMES = 4
_BANDS = 48
_BANDS_HZ = (120.0, 3800.0)
_STRETCH_S, _STRETCH_HOP_S = 16.0, 5.0
_LAGS_BLOCK = 4096
_STRETCHES_AT_ONCE = 8
_ROUGH_PEAKS = 10
_ROUGH_PEAKS_APART_S = 0.3

# Second and third look.
_HEARD_HZ = (100.0, 3600.0)
_WHITENING = 0.8
_SLANT_HOP_S, _SLANT_SPAN_S = 4.0, 4.0
_SLANT_ROW_S = 1.0
_SLANT_STEP = 60e-6
_SEARCH_S = 0.060
_LOOK_BEYOND_S = 120.0
_NEAR_HOP_S, _NEAR_WINDOW_S = 1.0, 4.0
_NEAR_SEARCH_S = 0.008
# A hall's first strong echoes come within this; what is half as clear as the clearest is sound that
# came straight, and not chance, in a mean of this many windows.
_ECHO_S, _ECHO_WINDOWS, _DIRECT_SHARE = 0.060, 40, 0.5
_FINE_PEAKS = 4
_FINE_PEAKS_APART_S = 0.0005

# Above what noise alone reaches among so many lags, in standard deviations.
_ROUGH_CHANCE, _SLANT_CHANCE, _NEAR_CHANCE = 3.5, 5.5, 5.0
# The first look may jump lightly: the others test what it says.
_ROUGH_JUMP, _FINE_JUMP = 4.0, 12.0
_MEMORY_S = 120.0

# A clock is a straight line unless it leaves it by more than this for long.
_STRAIGHT_S = 0.00012
# Never an outlier, however well the rest agrees: or the tops of a wave would count as some.
_TRUSTED_S = 0.0002
_KNOT_S = 0.00002
_SMOOTH_S = 20.0

_SILENCE = 1e-5

# Cuts.
_AGREE_FRAME, _AGREE_HOP = 256, 64
_MARGIN_S = 6.0
_CLEAN_CUT_S = 0.5
# So long a stretch beside sound that agrees is believed though it agrees with nothing: applause
# sounds otherwise from the desk.
_BELIEVED_S = 15.0
_SAME_LINE_S, _SAME_LINE_DRIFT = 0.0006, 2e-5

# Windows of the third look share three quarters of their sound, so chance can last for a few.
_LEAST_ROWS = 8

_LEAST_S = 5.0
_LEAST_SHARE = 0.1


def align(
    source: str | Path,
    reference: str | Path,
    *,
    source_track: int = 0,
    reference_track: int = 0,
    reference_start_s: float | Fraction | None = None,
    reference_duration_s: float | Fraction | None = None,
    progress: Progress | None = None,
) -> Alignment:
    """Find which second of `source` belongs to which second of `reference`.

    The two may differ in mix, level, equaliser, noise, channels, rate and polarity, their clocks by
    0.1 %, and either may lack parts, down to about 15 s of sound between two cuts.
    reference_start_s, reference_duration_s: as a `Reader`'s. progress: called with the share done.
    Raises SoundError where too little agrees.
    """
    say = progress or (lambda share: None)
    with (
        _Copy(Reader(source, source_track)) as ours,
        _Copy(
            Reader(
                reference,
                reference_track,
                start_s=reference_start_s,
                duration_s=reference_duration_s,
            )
        ) as theirs,
    ):
        for copy, begun in ((ours, 0.0), (theirs, 0.3)):
            for share in copy.fill():
                say(begun + 0.3 * share)
        say(0.6)
        runs = [
            near
            for rough in _rough(ours, theirs)
            for slanted in _slanted(ours, theirs, rough)
            for near in _near(ours, theirs, slanted)
        ]
        say(0.95)
        runs = _joined(_untangled(runs))
        _check(runs, ours, theirs, str(source), str(reference))
        return _alignment(runs, ours, theirs)


class _Copy(Closes):
    """A track as 8 kHz mono in a temporary file, and what must be known of it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._file = TemporaryFile()  # noqa: SIM115 (closed on exit)
        self.rate_hz, self.start_s = reader.sample_rate_hz, float(reader.start_s)
        self.frames = self.thin_frames = 0

    def close(self) -> None:
        """Let go of what is held."""
        self._file.close()
        self._reader.__exit__(None, None, None)

    @property
    def length_s(self) -> float:
        """How long the track is."""
        return self.frames / self.rate_hz

    def fill(self) -> Iterator[float]:
        """Read the track; tells now and then how much is done."""
        stage = Resampler(self.rate_hz, _THIN_HZ, 1)
        expected = self._reader.length_s or 0.0
        for block in self._reader.blocks():
            self.frames += len(block)
            self._append(stage.process(block.mean(axis=1, keepdims=True)))
            yield min(1.0, self.length_s / expected) if expected else 0.0
        self._append(stage.flush())

    def read(self, first: int, count: int) -> Floats:
        """Thin frames from `first`; silence beyond the ends."""
        out = np.zeros(count, np.float32)
        low, high = max(0, first), min(first + count, self.thin_frames)
        if low < high:
            self._file.seek(2 * low)
            raw = self._file.read(2 * (high - low))
            out[low - first : high - first] = np.frombuffer(raw, np.float16)
        return out

    def _append(self, block: Numbers) -> None:
        # Half precision is 66 dB under each sample, and 60 dB of range under full scale above that.
        self._file.write(np.clip(block[:, 0], -100, 100).astype(np.float16).tobytes())
        self.thin_frames += len(block)


@dataclass(frozen=True)
class _Run:
    """Measurements that follow one another without a jump.

    at_s: seconds of the reference. ahead_s: the source's second less the reference's. weight: how
    clear each is.
    """

    at_s: Numbers
    ahead_s: Numbers
    weight: Numbers


@dataclass(frozen=True)
class _Near(_Run):
    """The last look's measurements, and the smooth clock through them.

    louder_db: by how much the source is louder, each second.
    """

    clock: Segment
    louder_db: Numbers


# First look ---------------------------------------------------------------------------------------


def _rough(ours: _Copy, theirs: _Copy) -> list[_Run]:
    """Where stretches of the reference are in the source, to some hundredths of a second."""
    source, reference = _envelopes(ours), _envelopes(theirs)
    if len(source) < _ENVELOPES_HZ or len(reference) < _ENVELOPES_HZ:
        return []
    size = min(round(_STRETCH_S * _ENVELOPES_HZ), len(reference))
    hop = round(_STRETCH_HOP_S * _ENVELOPES_HZ)
    starts = np.unique(np.append(np.arange(0, len(reference) - size, hop), len(reference) - size))
    peaks = list(_sought(source, reference, starts, size))
    found, height = (np.array([peak[part] for peak in peaks]) for part in (0, 1))
    at_s = (starts + size / 2) / _ENVELOPES_HZ
    ahead_s = (found - starts[:, np.newaxis]) / _ENVELOPES_HZ
    return _runs(
        at_s, ahead_s, height - _ROUGH_CHANCE, slack_s=0.030, drift=_MOST_DRIFT, jump=_ROUGH_JUMP
    )


def _envelopes(copy: _Copy) -> Halves:
    """(frames, bands): how loud each band is against its surroundings, about -3..3."""
    count = max(0, (copy.thin_frames - _FRAME) // _HOP + 1)
    levels = np.zeros((count, _BANDS), np.float32)
    edges = np.geomspace(*_BANDS_HZ, _BANDS + 1) * _FRAME / _THIN_HZ
    bins = np.round(edges).astype(int)
    window = signal.windows.hann(_FRAME).astype(np.float32)
    at_once = 4096
    for first in range(0, count, at_once):
        frames = min(at_once, count - first)
        samples = copy.read(first * _HOP, (frames - 1) * _HOP + _FRAME)
        view = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
        lines = np.abs(fft.rfft(view * window)) ** 2
        levels[first : first + frames] = np.add.reduceat(lines, bins, axis=1)[:, :-1]
    second, surroundings = round(_ENVELOPES_HZ), round(8 * _ENVELOPES_HZ)
    out = np.zeros((count, _BANDS), np.float16)
    for band, power in enumerate(levels.T):
        level = np.log(power + 1e-7)
        # Attacks: a hall prolongs sounds, but hardly moves their beginnings.
        rise = np.zeros_like(level)
        rise[_RISE_FRAMES:] = np.maximum(0, level[_RISE_FRAMES:] - level[:-_RISE_FRAMES])
        rise -= ndimage.uniform_filter1d(rise, second)
        spread = np.sqrt(ndimage.uniform_filter1d(rise**2, surroundings))
        out[:, band] = np.clip(rise / (spread + 0.05), -3, 3)
    return out


def _sought(
    source: Halves, reference: Halves, starts: npt.NDArray[np.int64], size: int
) -> Iterator[tuple[Numbers, Numbers]]:
    """For each stretch of the reference: the best places in the source, and how clear each is."""
    block = max(_LAGS_BLOCK, int(fft.next_fast_len(4 * size, real=True)))
    step = block - size + 1
    lags = len(source) + size  # from -size, a stretch wholly before the source
    blocks = -(-lags // step)
    padded = np.pad(source, ((size, blocks * step - len(source)), (0, 0)))
    spectra = np.empty((block // 2 + 1, blocks, _BANDS), np.complex64)
    for number in range(blocks):
        part = padded[number * step : number * step + block].astype(np.float32)
        spectra[:, number] = fft.rfft(part, block, axis=0)
    for first in range(0, len(starts), _STRETCHES_AT_ONCE):
        some = [reference[at : at + size] for at in starts[first : first + _STRETCHES_AT_ONCE]]
        wanted = np.stack(
            [fft.rfft(part.astype(np.float32), block, axis=0).conj() for part in some], 2
        )
        # (frequencies, blocks, bands) by (frequencies, bands, stretches)
        product = np.moveaxis(spectra @ wanted, 0, -1)
        likeness = fft.irfft(product, block)[..., :step]
        for number in range(len(some)):
            row = likeness[:, number].ravel()[:lags]
            places, heights = _peaks(
                row / (row.std() + 1e-9),
                _ROUGH_PEAKS,
                round(_ROUGH_PEAKS_APART_S * _ENVELOPES_HZ),
            )
            yield places - size, heights


# Second look --------------------------------------------------------------------------------------


def _slanted(ours: _Copy, theirs: _Copy, rough: _Run) -> list[_Run]:
    """Offsets to a fraction of a millisecond along a rough run, drift not yet known."""
    from_s = max(0.0, rough.at_s[0] - _LOOK_BEYOND_S)
    to_s = min(theirs.length_s, rough.at_s[-1] + _LOOK_BEYOND_S)
    at_s = np.arange(from_s, to_s, _SLANT_HOP_S) + min(_SLANT_HOP_S, to_s - from_s) / 2
    guess = _clock(rough, straight_s=_SEARCH_S / 3).source_s(at_s) - at_s
    found, height, slope = np.zeros((3, len(at_s), _FINE_PEAKS))
    slants = np.arange(-_MOST_DRIFT, _MOST_DRIFT + _SLANT_STEP / 2, _SLANT_STEP)
    row_s = np.arange(-_SLANT_SPAN_S, _SLANT_SPAN_S + 0.01, _SLANT_ROW_S / 2)
    lags = round(_SEARCH_S * _THIN_HZ)
    moves = np.round(slants[:, np.newaxis] * row_s * _THIN_HZ).astype(int)
    reach = lags + int(moves.max())
    for number, (at, ahead) in enumerate(zip(at_s, guess, strict=True)):
        if not 0 <= at + ahead <= ours.length_s:
            continue
        rows = _correlated(ours, theirs, at + row_s, ahead, reach)
        stacked = np.zeros((len(slants), 2 * lags + 1), np.float32)
        for line, move in zip(stacked, moves, strict=True):
            for row, by in zip(rows, move, strict=True):
                line += row[reach - lags + by : reach + lags + 1 + by]
        spread = stacked.std() + 1e-9
        clear = np.abs(stacked)
        places, height[number] = _peaks(clear.max(axis=0) / spread, _FINE_PEAKS, _fine_apart())
        slope[number] = slants[clear[:, np.round(places).astype(int)].argmax(axis=0)]
        found[number] = (places - lags + round(ahead * _THIN_HZ)) / _THIN_HZ
    # Held to its own slant, a path cannot wander from one echo to the next.
    return _runs(at_s, found, height - _SLANT_CHANCE, slack_s=0.0008, drift=1.5e-4, slope=slope)


def _correlated(ours: _Copy, theirs: _Copy, at_s: Numbers, ahead_s: float, reach: int) -> Floats:
    """(rows, lags) of a short window of the reference around each second, from -reach to reach."""
    size = round(_SLANT_ROW_S * _THIN_HZ)
    starts = np.round(at_s * _THIN_HZ).astype(int) - size // 2
    first, span = int(starts[0]), int(starts[-1] - starts[0])
    heard = theirs.read(first, span + size)
    sought = ours.read(first + round(ahead_s * _THIN_HZ) - reach, span + size + 2 * reach)
    window = signal.windows.hann(size).astype(np.float32)
    wide = signal.windows.tukey(size + 2 * reach, 0.1).astype(np.float32)
    block = int(fft.next_fast_len(size + 2 * reach, real=True))
    a = np.stack([heard[at : at + size] for at in starts - first]) * window
    b = np.stack([sought[at : at + len(wide)] for at in starts - first]) * wide
    return _whitened(fft.rfft(a, block), fft.rfft(b, block), block)[:, : 2 * reach + 1]


# Third look ---------------------------------------------------------------------------------------


def _near(ours: _Copy, theirs: _Copy, slanted: _Run) -> list[_Near]:
    """Offsets to a hundredth of a millisecond, second by second, along a run of the second look."""
    from_s = max(0.0, slanted.at_s[0] - 2 * _SLANT_SPAN_S)
    to_s = min(theirs.length_s, slanted.at_s[-1] + 2 * _SLANT_SPAN_S)
    line = _earliest(ours, theirs, _clock(slanted, straight_s=0.0005), slanted.at_s)
    reach = round(_NEAR_SEARCH_S * _THIN_HZ)
    size = round(min(_NEAR_WINDOW_S, to_s - from_s) * _THIN_HZ)
    window = signal.windows.hann(size).astype(np.float32)
    at_s: list[float] = []
    found: list[Numbers] = []
    height: list[Numbers] = []
    louder: list[float] = []
    for at, heard, played in _side_by_side(ours, theirs, line, from_s, to_s, size):
        a, b = heard * window, played * window
        row = _whitened(fft.rfft(a), fft.rfft(b), size)
        spread = row.std() + 1e-9
        row = np.roll(row, reach)[: 2 * reach + 1]
        places, heights = _peaks(np.abs(row) / spread, _FINE_PEAKS, _fine_apart())
        at_s.append(at)
        found.append((places - reach) / _THIN_HZ)
        inside = 0 <= line.source_s(np.array([at]))[0] <= ours.length_s
        height.append(heights if inside and _audible(a) and _audible(b) else 0 * heights)
        louder.append(float(10 * np.log10((np.sum(b**2) + 1e-9) / (np.sum(a**2) + 1e-9))))
    if not at_s:
        return []
    seconds, gains = np.array(at_s), np.array(height) - _NEAR_CHANCE
    return [
        _fitted(
            run.at_s,
            run.ahead_s + line.source_s(run.at_s) - run.at_s,
            run.weight,
            np.array(louder)[np.searchsorted(seconds, run.at_s)],
        )
        for run in _runs(seconds, np.array(found), gains, slack_s=0.0004, drift=3e-4)
        if len(run.at_s) >= _LEAST_ROWS
    ]


def _earliest(ours: _Copy, theirs: _Copy, line: Segment, at_s: Numbers) -> Segment:
    """The line moved from a loud echo to the sound that came straight, where there is one before.

    An echo lies the same everywhere in a run, so the mean of many correlations shows it plainly.
    """
    size, reach = round(_NEAR_WINDOW_S * _THIN_HZ), round(_ECHO_S * _THIN_HZ)
    window = signal.windows.hann(size).astype(np.float32)
    mean = np.zeros(reach + 1)
    for at in at_s[:: -(-len(at_s) // _ECHO_WINDOWS)]:
        first = round(at * _THIN_HZ) - size // 2
        heard, played = theirs.read(first, size), _played(ours, line, first, size)
        row = _whitened(fft.rfft(heard * window), fft.rfft(played * window), size)
        mean += row[: reach + 1] / (row.std() + 1e-9)
    clear = np.abs(mean)
    tops, _ = signal.find_peaks(clear, height=_DIRECT_SHARE * clear.max(), distance=_fine_apart())
    lag_s = float(tops[-1]) / _THIN_HZ if len(tops) else 0.0
    if lag_s <= _NEAR_SEARCH_S / 2:
        return line
    knots = tuple((at, source + lag_s) for at, source in line.knots)
    return Segment(line.reference_from_s, line.reference_to_s, knots)


def _side_by_side(
    ours: _Copy, theirs: _Copy, line: Segment, from_s: float, to_s: float, size: int
) -> Iterator[tuple[float, Floats, Floats]]:
    """Second by second: the middle of a window of the reference, it, and the source as it plays."""
    hop = round(_NEAR_HOP_S * _THIN_HZ)
    at_once = 16 * hop
    begin, end = round(from_s * _THIN_HZ), round(to_s * _THIN_HZ)
    played = np.zeros(0, np.float32)
    at = begin
    for first in range(begin, end, at_once):
        count = min(at_once, end - first)
        played = np.append(
            played[at - first :] if at < first else played[:0], _played(ours, line, first, count)
        )
        # `played` now begins at `at`.
        heard = theirs.read(at, first + count - at)
        low = at
        while at + size <= first + count:
            part = slice(at - low, at - low + size)
            yield (at + size / 2) / _THIN_HZ, heard[part], played[part]
            at += hop


def _played(ours: _Copy, line: Segment, first: int, count: int) -> Floats:
    """The source on the reference's clock, thin frames."""
    at = line.source_s(np.arange(first, first + count) / _THIN_HZ) * _THIN_HZ
    low = int(at.min()) - 256
    samples = ours.read(low, int(at.max()) + 256 - low)
    return interpolated(samples[:, np.newaxis].astype(np.float64), at - low)[:, 0].astype(
        np.float32
    )


def _whitened(
    a: npt.NDArray[np.complexfloating], b: npt.NDArray[np.complexfloating], size: int
) -> Floats:
    """Cross-correlation of two spectra with every heard frequency of about the same weight."""
    cross = a.conj() * b
    hertz = fft.rfftfreq(size, 1 / _THIN_HZ)
    heard = (hertz >= _HEARD_HZ[0]) & (hertz <= _HEARD_HZ[1])
    size_of = np.abs(cross)
    floor = 1e-6 * size_of.max(axis=-1, keepdims=True) + 1e-20
    return np.asarray(fft.irfft(cross * heard / (size_of + floor) ** _WHITENING, size))


def _audible(samples: Floats) -> bool:
    """Whether there is anything to correlate: silence is alike everywhere."""
    return float(np.mean(samples**2)) > _SILENCE**2


def _fine_apart() -> int:
    return round(_FINE_PEAKS_APART_S * _THIN_HZ)


# Peaks, paths, clocks -----------------------------------------------------------------------------


def _peaks(row: npt.NDArray[np.floating], count: int, apart: int) -> tuple[Numbers, Numbers]:
    """The highest places of a row, to a part of a step by a parabola, and their heights."""
    left = row.astype(np.float64)
    places, heights = np.zeros(count), np.zeros(count)
    for number in range(count):
        top = int(left.argmax())
        heights[number] = left[top]
        places[number] = top
        if 0 < top < len(row) - 1:
            before, middle, after = (float(row[top + step]) for step in (-1, 0, 1))
            bend = before - 2 * middle + after
            if bend < 0 and middle >= max(before, after):
                places[number] += 0.5 * (before - after) / bend
        left[max(0, top - apart) : top + apart + 1] = -np.inf
    return places, np.maximum(heights, 0.0)


def _runs(
    at_s: Numbers,
    ahead_s: Numbers,
    gain: Numbers,
    *,
    slack_s: float,
    drift: float,
    jump: float = _FINE_JUMP,
    slope: Numbers | None = None,
) -> list[_Run]:
    """The best path through the peaks (rows, peaks), cut where it jumps.

    A path gains what its peaks are worth and pays for jumps; a step is no jump when it is within
    slack and drift, counted from where the slopes of both its ends lead.
    """
    rows, peaks = gain.shape
    worth = np.where(gain > 0, gain, -np.inf)
    best = np.full((rows, peaks), -np.inf)
    back = np.full((rows, peaks), -1)
    jumped = np.zeros((rows, peaks), bool)
    top, top_at = -np.inf, -1
    for row in range(rows):
        low = int(np.searchsorted(at_s, at_s[row] - _MEMORY_S))
        origin = np.zeros(peaks)
        if top > jump:
            origin[:] = top - jump
            back[row], jumped[row] = top_at, True
        if low < row:
            since = at_s[row] - at_s[low:row, np.newaxis]
            step = ahead_s[row][:, np.newaxis, np.newaxis] - ahead_s[low:row]
            if slope is not None:
                step -= since * (slope[row][:, np.newaxis, np.newaxis] + slope[low:row]) / 2
            apart = np.abs(step) / (slack_s + drift * since)
            # Of two that would do, the nearer.
            on = np.where(apart <= 1, best[low:row] - apart, -np.inf).reshape(peaks, -1)
            choice = on.argmax(axis=1)
            value = on[np.arange(peaks), choice]
            better = value > origin
            origin = np.where(better, value, origin)
            back[row] = np.where(better, low * peaks + choice, back[row])
            jumped[row] &= ~better
        best[row] = worth[row] + origin
        if best[row].max() > top:
            top, top_at = float(best[row].max()), row * peaks + int(best[row].argmax())
    return _cut_at_jumps(top_at, back, jumped, at_s, ahead_s, gain)


def _cut_at_jumps(
    last: int,
    back: npt.NDArray[np.int64],
    jumped: npt.NDArray[np.bool_],
    at_s: Numbers,
    ahead_s: Numbers,
    gain: Numbers,
) -> list[_Run]:
    runs: list[_Run] = []
    places: list[int] = []
    at = last
    while at >= 0:
        places.append(at)
        before = int(back.flat[at])
        if before < 0 or jumped.flat[at]:
            order = np.array(places[::-1])
            runs.append(
                _Run(at_s[order // gain.shape[1]], ahead_s.ravel()[order], gain.ravel()[order])
            )
            places = []
        at = before
    return runs[::-1]


def _clock(run: _Run, *, straight_s: float) -> Segment:
    """The smooth line through a run's measurements, which need not all be right."""
    at, ahead = run.at_s, run.ahead_s
    trust = np.ones(len(at))
    for _ in range(8):
        line = _straight(at, ahead, trust * run.weight)
        off = ahead - line
        trust = 1 / np.maximum(1, np.abs(off) / (2 * _spread(off) + _TRUSTED_S)) ** 2
    wandering = ndimage.median_filter(off, min(9, len(off)), mode="nearest")
    if np.abs(wandering).max() > straight_s and len(at) >= 8:
        trust = np.ones(len(at))
        for _ in range(8):
            line = _smooth(at, ahead, trust)
            off = ahead - line
            trust = 1 / np.maximum(1, np.abs(off) / (2 * _spread(off) + _TRUSTED_S)) ** 2
    keep = _corners(at, line) if len(at) > 1 else [0]
    knots = [(float(at[k]), float(at[k] + line[k])) for k in keep]
    if len(knots) == 1:
        knots.append((knots[0][0] + 1, knots[0][1] + 1))
    return Segment(float(at[0]), float(at[-1]), tuple(knots))


def _straight(at: Numbers, ahead: Numbers, weight: Numbers) -> Numbers:
    middle = np.average(at, weights=weight)
    level = np.average(ahead, weights=weight)
    moment = np.sum(weight * (at - middle) ** 2)
    slope = np.sum(weight * (at - middle) * (ahead - level)) / (moment + 1e-12)
    return np.asarray(level + np.clip(slope, -_MOST_DRIFT, _MOST_DRIFT) * (at - middle))


def _smooth(at: Numbers, ahead: Numbers, trust: Numbers) -> Numbers:
    """Whittaker's smoother on the grid of seconds: closeness against second differences."""
    hop = float(np.min(np.diff(at)))
    place = np.round((at - at[0]) / hop).astype(int)
    size = place[-1] + 1
    weight, level = np.zeros(size), np.zeros(size)
    weight[place], level[place] = trust, trust * (ahead - ahead[0])
    # Half of a wave of this length stays.
    stiff = (_SMOOTH_S / hop / (2 * np.pi)) ** 4
    bands = np.zeros((3, size))
    bands[2] = 6 * stiff
    bands[2, [0, -1]], bands[2, [1, -2]] = stiff, 5 * stiff
    bands[1, 1:], bands[1, [1, -1]] = -4 * stiff, -2 * stiff
    bands[0, 2:] = stiff
    bands[2] += weight
    return np.asarray(linalg.solveh_banded(bands, level)[place] + ahead[0])


def _corners(at: Numbers, line: Numbers) -> list[int]:
    """Where straight pieces must meet to stay near the line (Douglas and Peucker)."""
    keep, todo = {0, len(at) - 1}, [(0, len(at) - 1)]
    while todo:
        low, high = todo.pop()
        off = np.abs(
            line[low : high + 1] - np.interp(at[low : high + 1], at[[low, high]], line[[low, high]])
        )
        worst = low + int(off.argmax())
        if off.max() > _KNOT_S:
            keep.add(worst)
            todo += [(low, worst), (worst, high)]
    return sorted(keep)


def _spread(values: Numbers) -> float:
    return float(1.4826 * np.median(np.abs(values)))


# From runs to an alignment ------------------------------------------------------------------------


def _untangled(runs: Sequence[_Near]) -> list[_Near]:
    """Runs in the reference's order, each second told of by the weightiest run that claims it."""
    taken: list[_Near] = []
    for run in sorted(runs, key=lambda run: -run.weight.sum()):
        free = np.ones(len(run.at_s), bool)
        for other in taken:
            free &= (run.at_s < other.at_s[0]) | (run.at_s > other.at_s[-1])
        edges = np.flatnonzero(np.diff(np.concatenate(([False], free, [False])).astype(int)))
        for low, high in edges.reshape(-1, 2):
            if high - low >= _LEAST_ROWS:
                taken.append(_refitted([run], slice(low, high)))
    return sorted(taken, key=lambda run: float(run.at_s[0]))


def _joined(runs: Sequence[_Near]) -> list[_Near]:
    """Runs with neighbours on the same line made one."""
    out: list[_Near] = []
    for run in runs:
        if out:
            last = out[-1]
            middle = np.array([(last.at_s[-1] + run.at_s[0]) / 2])
            apart = abs(last.clock.source_s(middle) - run.clock.source_s(middle))[0]
            if apart < _SAME_LINE_S + _SAME_LINE_DRIFT * (run.at_s[0] - last.at_s[-1]):
                out[-1] = _refitted([last, run], slice(None))
                continue
        out.append(run)
    return out


def _refitted(runs: Sequence[_Near], rows: slice) -> _Near:
    at, ahead, weight, louder = (
        np.concatenate([getattr(run, name) for run in runs])[rows]
        for name in ("at_s", "ahead_s", "weight", "louder_db")
    )
    return _fitted(at, ahead, weight, louder)


def _fitted(at: Numbers, ahead: Numbers, weight: Numbers, louder: Numbers) -> _Near:
    run = _Run(at, ahead, weight)
    return _Near(at, ahead, weight, _clock(run, straight_s=_STRAIGHT_S), louder)


def _check(runs: Sequence[_Near], ours: _Copy, theirs: _Copy, source: str, reference: str) -> None:
    agreeing = sum(len(run.at_s) for run in runs) * _NEAR_HOP_S
    shorter = min(ours.length_s, theirs.length_s)
    if shorter < _LEAST_S:
        raise SoundError(
            f"cannot align {source} to {reference}: the shorter is {shorter:.1f} s long; "
            f"at least {_LEAST_S:.0f} s are needed"
        )
    if agreeing < max(_LEAST_S, _LEAST_SHARE * shorter):
        raise SoundError(
            f"cannot align {source} to {reference}: they do not seem to hold the same "
            f"performance ({agreeing:.0f} s of {shorter:.0f} s agree)"
        )


def _alignment(runs: Sequence[_Near], ours: _Copy, theirs: _Copy) -> Alignment:
    segments = tuple(_segments(runs, ours, theirs))
    ends = [0.0, *(s for part in segments for s in (part.reference_from_s, part.reference_to_s))]
    ends.append(theirs.length_s)
    gaps = [Gap(low, high) for low, high in zip(ends[::2], ends[1::2], strict=True)]
    off = np.concatenate([run.clock.source_s(run.at_s) - run.at_s - run.ahead_s for run in runs])
    length = np.array([part.reference_to_s - part.reference_from_s for part in segments])
    first = segments[0].reference_from_s
    drift = np.average([part.rate - 1 for part in segments], weights=length)
    louder = np.median(np.concatenate([run.louder_db for run in runs]))
    return Alignment(
        reference_frames=theirs.frames,
        reference_rate_hz=theirs.rate_hz,
        reference_start_s=theirs.start_s,
        segments=segments,
        gaps=tuple(gap for gap in gaps if gap.reference_to_s - gap.reference_from_s > 1e-6),
        edits=tuple(_edit(before, after) for before, after in pairwise(segments)),
        offset_s=float(segments[0].source_s(np.array([first]))[0] - first),
        drift_ppm=float(drift * 1e6),
        residual_ms=float(np.sqrt(np.mean(off**2)) * 1e3),
        confidence=float(min(1.0, len(off) * _NEAR_HOP_S / length.sum())),
        reference_gain_db=float(np.clip(louder, -60, 60)),
    )


def _segments(runs: Sequence[_Near], ours: _Copy, theirs: _Copy) -> Iterator[Segment]:
    """Each run's clock with where it begins and ends."""
    froms = [_begin(runs[0], ours, theirs)]
    tos = []
    for before, after in pairwise(runs):
        end, begin = _cut(before, after, ours, theirs)
        tos.append(end)
        froms.append(begin)
    tos.append(_end(runs[-1], ours, theirs))
    for run, begin, end in zip(runs, froms, tos, strict=True):
        there = _there(run.clock, ours, theirs)
        yield Segment(max(begin, there[0]), min(end, there[1]), run.clock.knots)


def _edit(before: Segment, after: Segment) -> Edit:
    end, begin = before.reference_to_s, after.reference_from_s
    skipped = after.source_s(np.array([begin])) - before.source_s(np.array([end]))
    return Edit(end, begin - end, float(skipped[0]))


def _there(clock: Segment, ours: _Copy, theirs: _Copy) -> tuple[float, float]:
    """From where to where, in the reference's seconds, a clock lies in both files."""
    first = clock.knots[0][0] - clock.knots[0][1] / _end_rate(clock, 0)
    last = clock.knots[-1][0] + (ours.length_s - clock.knots[-1][1]) / _end_rate(clock, -2)
    return max(0.0, first), min(theirs.length_s, last)


def _end_rate(clock: Segment, knot: int) -> float:
    (at, source), (after, source_after) = clock.knots[knot], clock.knots[knot + 1]
    return (source_after - source) / (after - at)


def _begin(run: _Near, ours: _Copy, theirs: _Copy) -> float:
    """Where the first run begins: with the file, if nothing speaks against it."""
    there, _ = _there(run.clock, ours, theirs)
    low = max(there, run.at_s[0] - _MARGIN_S)
    at, agree = _agreement(run, ours, theirs, low, run.at_s[0] + _MARGIN_S)
    begin = float(at[np.argmin(np.append(0, np.cumsum(agree)))])
    return there if begin - there <= _BELIEVED_S else begin


def _end(run: _Near, ours: _Copy, theirs: _Copy) -> float:
    """Where the last run ends, likewise."""
    _, there = _there(run.clock, ours, theirs)
    high = min(there, run.at_s[-1] + _MARGIN_S)
    at, agree = _agreement(run, ours, theirs, run.at_s[-1] - _MARGIN_S, high)
    end = float(at[np.argmax(np.append(0, np.cumsum(agree)))])
    return there if there - end <= _BELIEVED_S else end


def _cut(before: _Near, after: _Near, ours: _Copy, theirs: _Copy) -> tuple[float, float]:
    """Where the run before ends, and the one after begins, in the reference."""
    low = max(before.at_s[0], min(before.at_s[-1], after.at_s[0]) - _MARGIN_S)
    high = min(after.at_s[-1], max(before.at_s[-1], after.at_s[0]) + _MARGIN_S)
    at, agree = _agreement(before, ours, theirs, low, high)
    _, agree_after = _agreement(after, ours, theirs, low, high)
    # How much is won by staying on the old line until here, and lost by not being on the new one.
    old, new = (np.append(0, np.cumsum(values)) for values in (agree, agree_after))
    best_old = np.maximum.accumulate(old)
    begin = int(np.argmax(best_old - new))
    end = int(np.argmax(old[: begin + 1]))
    gap = float(at[begin] - at[end])
    middle = (at[begin] + at[end]) / 2
    lines = [run.clock.source_s(np.array([middle])) for run in (before, after)]
    skipped = float(lines[1][0] - lines[0][0])
    if gap < _CLEAN_CUT_S:
        cut = float(at[np.argmax(old - new)])
        return cut, cut
    if abs(gap + skipped) < _CLEAN_CUT_S:
        # The source goes on where it stopped: the gap's length is known, only its place is not.
        frames = round(-skipped * _THIN_HZ / _AGREE_HOP)
        end = int(np.argmax(old[: len(old) - frames] - new[frames:]))
        return float(at[end]), float(at[end]) - skipped
    # Here each has something that the other has not. Some of the source's is believed.
    free = min(gap, gap + skipped)
    more = float(np.clip(free / 2, 0, _BELIEVED_S))
    return float(at[end]) + more, float(at[begin]) - more


def _agreement(
    run: _Near, ours: _Copy, theirs: _Copy, from_s: float, to_s: float
) -> tuple[Numbers, Numbers]:
    """How well both agree along a run's clock, frame by frame, above half of what it has inside.

    Also the seconds between the frames, one more than there are frames.
    """
    inside = (run.at_s > from_s - 20) & (run.at_s < to_s + 20)
    usual = [_phases(run.clock, ours, theirs, at - 0.5, at + 0.5) for at in run.at_s[inside][::3]]
    agree = _phases(run.clock, ours, theirs, from_s, to_s)
    level = 0.5 * float(np.median(np.concatenate(usual))) if usual else 0.0
    first = round(from_s * _THIN_HZ) + (_AGREE_FRAME - _AGREE_HOP) / 2
    at = (first + _AGREE_HOP * np.arange(len(agree) + 1)) / _THIN_HZ
    return at, agree - level


def _phases(clock: Segment, ours: _Copy, theirs: _Copy, from_s: float, to_s: float) -> Numbers:
    """For each short frame, how far the heard frequencies' phases agree, -1..1."""
    begin, end = round(from_s * _THIN_HZ), round(to_s * _THIN_HZ)
    window = signal.windows.hann(_AGREE_FRAME).astype(np.float32)
    hertz = fft.rfftfreq(_AGREE_FRAME, 1 / _THIN_HZ)
    heard = (hertz >= _HEARD_HZ[0]) & (hertz <= _HEARD_HZ[1])
    at_once = 1024 * _AGREE_HOP
    parts = [np.zeros(0)]
    for first in range(begin, end - _AGREE_FRAME + 1, at_once):
        count = min(at_once + _AGREE_FRAME - _AGREE_HOP, end - first)
        a, b = (
            fft.rfft(
                np.lib.stride_tricks.sliding_window_view(samples, _AGREE_FRAME)[::_AGREE_HOP]
                * window
            )[:, heard]
            for samples in (theirs.read(first, count), _played(ours, clock, first, count))
        )
        cross = a.conj() * b
        parts.append((cross.real / (np.abs(cross) + 1e-12)).mean(axis=1).astype(np.float64))
    return np.concatenate(parts)
