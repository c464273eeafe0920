"""Sinusoids fitted to hum: one wandering fundamental, and an amplitude and phase per multiple.

Each multiple of the fundamental is heterodyned to zero frequency in half-second frames, where hum
is a complex amplitude that hardly moves and music is noise that comes and goes. How loud that noise
is, is read beside the line, where hum is not; a frame counts by the inverse of it, and less again
by how far it lies off the fit (a Cauchy likelihood, by iteratively reweighted least squares), so
that a note which sits on the line for a second is an outlier and not a change of the hum. The
amplitudes follow a random walk with rare steps, as when a lamp is dimmed; the fundamental's phase,
which all multiples and channels share, has a random walk for its frequency. Both are the maximum a
posteriori over the whole window, which is a banded system of equations (a Kalman smoother in one
solve: see Bell, "The Iterated Kalman Smoother as a Gauss-Newton Method", SIAM J. Optim. 4, 1994).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.linalg
import scipy.signal

from .signal import Block

__all__ = ["FRAME_S", "HumFit", "fit"]

FRAME_S = 0.25
"""From frame to frame; a frame is twice as long."""

_NEAR_HZ, _FAR_HZ = 4.0, 12.0  # beyond the main lobe of half a second of Hann
_SEARCH_HZ = 0.35
_SEARCH_STEP_HZ = 0.01
_SEARCH_FRAMES = 16  # 4 s: within them the mains hardly moves
_SEARCH_LINES = 8
_SEARCH_LEAP_HZ = 0.03  # from one stretch to the next, two seconds later: seldom more
# Random walks, as deviations after one second.
_LEVEL_WALK = 0.015  # of the line's own level: a decibel in a minute
_FREQUENCY_WALK_HZ = 0.01
# While the phase is sought the amplitudes stand nearly still, or they would turn in its place.
_STILL = 0.1
_STAGES = (6, 20, None)  # multiples that may steer the phase, as it grows surer
_RIDGE = 1e-9  # keeps a system solvable where nothing was heard
_TINY = 1e-16  # power: -160 dBFS, under anything that was ever recorded

type _Real = npt.NDArray[np.float64]
type _Complex = npt.NDArray[np.complex128]
type _Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HumFit:
    """Hum over a window of frames.

    multiples: of the fundamental. amplitudes: complex (multiples, channels, frames), against a
    cosine of full scale. phase: of the fundamental, in radians against `frequency_hz`, per frame.
    frequencies_hz: of the fundamental, per frame.
    """

    frequency_hz: float
    multiples: _Real
    amplitudes: _Complex
    phase: _Real
    frequencies_hz: _Real


def fit(low: Block, rate_hz: float, hop: int, frequency_hz: float, multiples: _Real) -> HumFit:
    """Fit hum to `low` (samples, channels): frames of `2 * hop` samples, the first at sample 0.

    hop: FRAME_S in samples. Where a frame holds silence there is nothing to fit, and the fit goes
    on from its surroundings. At least three frames are needed.
    """
    lines, around = _heterodyned(low, rate_hz, hop, frequency_hz, multiples)
    known = ~_silent(low, hop)
    frame_s = hop / rate_hz
    walk = _searched(lines, around, known, multiples, frame_s)
    phase = 2 * np.pi * frame_s * (np.cumsum(walk) - walk[0])
    for highest in _STAGES:
        steering = (
            slice(None) if highest is None else slice(0, max(1, int((multiples <= highest).sum())))
        )
        for _ in range(3):
            phase = _steered(
                lines[steering], around[steering], known, multiples[steering], phase, frame_s
            )
    turned = lines * np.exp(-1j * multiples[:, np.newaxis, np.newaxis] * phase)
    amplitudes, weights, stiffness = _smoothed(turned, around, known, _LEVEL_WALK, frame_s, 4)
    return HumFit(
        frequency_hz,
        multiples,
        amplitudes * _certainty(amplitudes, weights, stiffness, known),
        phase,
        frequency_hz + np.gradient(phase) / (2 * np.pi * frame_s),
    )


def _heterodyned(
    low: Block, rate_hz: float, hop: int, frequency_hz: float, multiples: _Real
) -> tuple[_Complex, _Real]:
    """Each line's complex amplitude, and the power beside it: (multiples, channels, frames)."""
    size = 2 * hop
    window = scipy.signal.windows.hann(size, sym=False)
    frames = np.lib.stride_tricks.sliding_window_view(low, size, axis=0)[::hop]
    windowed = frames * (window / (window.sum() / 2))
    omega = 2 * np.pi * frequency_hz * multiples / rate_hz
    # About a frame's middle, cosines meet its even part and sines its odd part: half the work. The
    # rounding of single precision lies 140 dB under the loudest.
    later, earlier = windowed[:, :, hop + 1 :], windowed[:, :, hop - 1 : 0 : -1]
    waves = np.outer(np.arange(1, hop), omega)
    even = (later + earlier).astype(np.float32) @ np.cos(waves).astype(np.float32)
    odd = (later - earlier).astype(np.float32) @ np.sin(waves).astype(np.float32)
    lines = (even.astype(np.float64) + windowed[:, :, hop, np.newaxis] - 1j * odd).transpose(
        2, 1, 0
    )
    lines = lines * np.exp(-1j * np.outer(omega, hop * np.arange(len(frames))))[:, np.newaxis]
    power = np.square(np.abs(scipy.fft.rfft(windowed, axis=2)))
    bin_hz = rate_hz / size
    near, far = max(2, round(_NEAR_HZ / bin_hz)), round(_FAR_HZ / bin_hz)
    beside = np.concatenate((np.arange(-far, 1 - near), np.arange(near, far + 1)))
    middles = np.round(frequency_hz * multiples / bin_hz).astype(int)[:, np.newaxis]
    at = np.clip(np.abs(middles + beside), 0, power.shape[2] - 1)
    # The mean of an exponential distribution from its median.
    around = np.median(power[:, :, at], axis=3).transpose(2, 1, 0) / np.log(2)
    return lines, around + _TINY


def _silent(low: Block, hop: int) -> _Flags:
    """Frames (channels, frames) that hold a stretch of silence a tenth of a hop long."""
    cells = len(low) // hop
    edges = np.unique((np.arange(cells * 10) * hop) // 10)
    power = np.add.reduceat(np.square(low[: cells * hop]), edges, axis=0)
    silent = (power.reshape(cells, -1, low.shape[1]).min(axis=1) < _TINY).T
    both: _Flags = silent[:, 1:] | silent[:, :-1]
    return both


def _searched(
    lines: _Complex, around: _Real, known: _Flags, multiples: _Real, frame_s: float
) -> _Real:
    """Roughly how far the fundamental lies off, in hertz, per frame.

    Stretches of four seconds vote for each step of a grid by how much of their lines' power adds up
    in phase there; the likeliest path through the votes is taken (Viterbi).
    """
    frames = lines.shape[2]
    chosen = slice(0, _SEARCH_LINES)
    size = min(_SEARCH_FRAMES, frames)
    weights = known / (around[chosen] + np.square(np.abs(lines[chosen])))
    weighted = _stretches(weights * lines[chosen], size)
    most = _stretches(weights, size).sum(axis=3)
    grid = np.arange(-_SEARCH_HZ, _SEARCH_HZ + _SEARCH_STEP_HZ / 2, _SEARCH_STEP_HZ)
    turns = np.exp(
        -2j * np.pi * frame_s * np.einsum("k,g,t->ktg", multiples[chosen], grid, np.arange(size))
    )
    channels, stretches = weighted.shape[1:3]
    sums = weighted.reshape(len(turns), -1, size) @ turns
    power = np.square(np.abs(sums)).reshape(len(turns), channels, stretches, -1)
    votes = (power / (most[..., np.newaxis] + 1e-30)).sum(axis=(0, 1))
    leap = np.square((grid[:, np.newaxis] - grid) / _SEARCH_LEAP_HZ)
    best, origins = votes[0], []
    for vote in votes[1:]:
        reached = best[:, np.newaxis] - leap
        origins.append(reached.argmax(axis=0))
        best = reached.max(axis=0) + vote
    path = [int(best.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    middles = np.arange(stretches) * (size // 2) + size / 2
    walk: _Real = np.interp(np.arange(frames), middles, grid[path[::-1]])
    return walk


def _stretches[T: np.generic](series: npt.NDArray[T], size: int) -> npt.NDArray[T]:
    """Half-overlapping stretches of the last axis."""
    views = np.lib.stride_tricks.sliding_window_view(series, size, axis=2)
    return np.ascontiguousarray(views[:, :, :: max(1, size // 2)])


def _steered(
    lines: _Complex, around: _Real, known: _Flags, multiples: _Real, phase: _Real, frame_s: float
) -> _Real:
    """The phase after one Gauss-Newton step: all lines turn it towards themselves."""
    order = multiples[:, np.newaxis, np.newaxis]
    turned = lines * np.exp(-1j * order * phase)
    amplitudes, weights, _ = _smoothed(turned, around, known, _STILL * _LEVEL_WALK, frame_s, 2)
    grip = (2 * order**2 * np.square(np.abs(amplitudes)) * weights).sum(axis=(0, 1))
    pull = (2 * order * weights * (amplitudes.conj() * turned).imag).sum(axis=(0, 1))
    stiff = 1 / (2 * np.pi * _FREQUENCY_WALK_HZ * frame_s**1.5) ** 2
    # Second differences: the frequency walks, the phase is its sum.
    bands = np.zeros((3, len(phase)))
    bands[2] = grip + (6 + _RIDGE) * stiff
    bands[2, [0, -1]] -= 5 * stiff
    bands[2, [1, -2]] -= stiff
    bands[1, 1:] = -4 * stiff
    bands[1, [1, -1]] = -2 * stiff
    bands[0, 2:] = stiff
    solved: _Real = scipy.linalg.solveh_banded(bands, grip * phase + pull)
    return solved


def _smoothed(
    turned: _Complex, around: _Real, known: _Flags, walk: float, frame_s: float, rounds: int
) -> tuple[_Complex, _Real, _Real]:
    """The amplitudes, the weights they were found with, and the stiffness of their walk."""
    amplitudes = np.zeros_like(turned[:, :, :1])
    for _ in range(5):
        weights = known / (around + np.square(np.abs(turned - amplitudes)))
        total = weights.sum(axis=2, keepdims=True)
        amplitudes = (weights * turned).sum(axis=2, keepdims=True) / (total + 1e-30)
    step = walk**2 * (frame_s * np.square(np.abs(amplitudes)) + _TINY)
    stiffness = np.broadcast_to(1 / step, turned[:, :, 1:].shape)
    for _ in range(rounds):
        weights = known / (around + np.square(np.abs(turned - amplitudes)))
        amplitudes = _walked(weights, stiffness, weights * turned)
        # A step much larger than the walk's is a step.
        stiffness = 1 / (step + np.square(np.abs(np.diff(amplitudes))))
    return amplitudes, known / (around + np.square(np.abs(turned - amplitudes))), stiffness


def _walked(weights: _Real, stiffness: _Real, wanted: _Complex) -> _Complex:
    """Solves (weights + differences' stiffness) x = wanted along the last axis, for all at once."""
    coupling = np.zeros(weights.shape)
    coupling[:, :, 1:] = stiffness
    bands = np.empty((2, weights.size))
    bands[0] = -coupling.ravel()  # no coupling from one series' end to the next one's start
    diagonal = weights + coupling
    diagonal[:, :, :-1] += stiffness
    bands[1] = diagonal.ravel() * (1 + _RIDGE) + 1e-300
    parts = np.stack((wanted.real.ravel(), wanted.imag.ravel()), axis=1)
    solved = scipy.linalg.solveh_banded(
        bands, parts, overwrite_ab=True, overwrite_b=True, check_finite=False
    )
    result: _Complex = (solved[:, 0] + 1j * solved[:, 1]).reshape(weights.shape)
    return result


def _certainty(amplitudes: _Complex, weights: _Real, stiffness: _Real, known: _Flags) -> _Real:
    """How much of each line to believe (0..1): little, where the fit could as well be music.

    The variance of a long random walk's smoothed value is half the root of the step's variance
    times the noise's.
    """
    usual = np.where(known, weights, 0.0).mean(axis=2, keepdims=True)
    loosest = np.median(stiffness, axis=2, keepdims=True)
    variance = 0.5 / np.sqrt(loosest * usual + 1e-30)
    believed: _Real = np.maximum(0.0, 1 - variance / (np.square(np.abs(amplitudes)) + 1e-30))
    return believed
