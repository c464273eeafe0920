"""The meter: loudness, range and true peak of a stream (EBU R128, Tech 3341 and 3342).

Loudness is libebur128's; true peaks are our own, which read closer (see `peak`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyebur128
from pyebur128 import ChannelType, MeasurementMode

from .peak import TruePeak
from .signal import Block
from .trace import History, Trace

__all__ = ["SILENT_LUFS", "Blocks", "Levels", "Loudness", "Meter", "gated"]

type _Lufs = npt.NDArray[np.float64]

SILENT_LUFS = -70.0
"""The absolute gate of BS.1770: what lies lower does not count."""

_BLOCK_S = 0.4
_STEP_S = 0.1
_OFFSET_LUFS = -0.691  # of a mean square of 1, after the filters (BS.1770-5, equation 2)

_CELL_MS = 20  # Tech 3341 case 13 moves a 400 ms tone by 20 ms: coarser cells miss it
_MOMENTARY_CELLS, _SHORT_TERM_CELLS = 20, 150
# Between readings 0.1 s apart a 3 s window's level moves by 0.15 dB at most.
_SHORT_TERM_EVERY, _TRACE_EVERY = 5, 50

_PLACES = {
    "FL": ChannelType.LEFT,
    "FR": ChannelType.RIGHT,
    "FC": ChannelType.CENTER,
    "LFE": ChannelType.UNUSED,
    "LFE2": ChannelType.UNUSED,
    "FLC": ChannelType.M_PLUS_SC,
    "FRC": ChannelType.M_MINUS_SC,
    "SL": ChannelType.M_PLUS_090,
    "SR": ChannelType.M_MINUS_090,
    "BL": ChannelType.M_PLUS_135,
    "BR": ChannelType.M_MINUS_135,
    "BC": ChannelType.M_PLUS_180,
}


@dataclass(frozen=True)
class Levels:
    """What a meter read. None: there was nothing to read (silence, or too short for the window).

    integrated_lufs: gated programme loudness. range_lu: loudness range.
    momentary_max_lufs, short_term_max_lufs: the loudest 0.4 s and 3 s.
    true_peak_dbtp: the highest point of the waveform over all channels.
    """

    integrated_lufs: float | None
    range_lu: float | None
    momentary_max_lufs: float | None
    short_term_max_lufs: float | None
    true_peak_dbtp: float | None


class Meter:
    """Reads a stream of blocks (frames, channels).

    speakers: the channels' places, as FFmpeg names them (FL FR FC LFE BL BR SL SR ...): the LFE
    does not count, surrounds count 1.5 dB more (ITU-R BS.1770-5, Table 4).
    """

    def __init__(self, sample_rate_hz: int, speakers: Sequence[str]) -> None:
        modes = MeasurementMode.MODE_I | MeasurementMode.MODE_S | MeasurementMode.MODE_LRA
        self._state = _state(sample_rate_hz, speakers, modes)
        self._cell = max(1, round(_CELL_MS / 1000 * sample_rate_hz))
        self._into_cell = self._count = 0
        self._energies = np.zeros(_SHORT_TERM_CELLS)  # the last cells', oldest first
        self._momentary = self._short_term = 0.0
        self._peak = TruePeak(len(speakers))
        self._trace = Trace(_CELL_MS / 1000 * _TRACE_EVERY, keep="max")

    def add(self, block: Block) -> None:
        """Take a block."""
        self._peak.add(block)
        levels = []
        start = 0
        while start < len(block):
            part = block[start : start + self._cell - self._into_cell]
            self._state.add_frames(np.ascontiguousarray(part).reshape(-1), len(part))
            start += len(part)
            self._into_cell += len(part)
            if self._into_cell == self._cell:
                self._into_cell = 0
                levels.append(pyebur128.get_loudness_window(self._state, _CELL_MS))
        self._read_cells(levels)

    def finish(self) -> Levels:
        """The readings of the whole stream, which has ended."""
        peak = self._peak.finish()
        integrated = pyebur128.get_loudness_global(self._state)
        return Levels(
            integrated_lufs=_known(integrated),
            range_lu=None
            if not math.isfinite(integrated)
            else float(pyebur128.get_loudness_range(self._state)),
            momentary_max_lufs=_known(_loud(self._momentary)),
            short_term_max_lufs=_known(_loud(self._short_term)),
            true_peak_dbtp=20 * math.log10(peak) if peak > 0 else None,
        )

    def history(self) -> History:
        """The short-term loudness, second by second, in LUFS; -70 stands for all that is less.

        A value is that of the three seconds that end with its second.
        """
        return self._trace.history()

    def _read_cells(self, levels: list[float]) -> None:
        """The windows that end with these cells: a window's energy is the mean of its cells'."""
        if not levels:
            return
        held = np.concatenate((self._energies, 10 ** ((np.array(levels) - _OFFSET_LUFS) / 10)))
        self._energies = held[-_SHORT_TERM_CELLS:]
        ends = np.arange(self._count, self._count + len(levels)) + 1
        self._count += len(levels)
        momentary, short_term = (
            _means(held, cells)[-len(levels) :] for cells in (_MOMENTARY_CELLS, _SHORT_TERM_CELLS)
        )
        self._momentary = max(self._momentary, momentary[ends >= _MOMENTARY_CELLS].max(initial=0.0))
        now = ends % _SHORT_TERM_EVERY == 0
        short_term, ends = short_term[now], ends[now]
        self._short_term = max(
            self._short_term, short_term[ends >= _SHORT_TERM_CELLS].max(initial=0.0)
        )
        for energy in short_term[ends % _TRACE_EVERY == 0]:
            self._trace.add(max(_loud(energy), SILENT_LUFS))


class Loudness:
    """Only the integrated loudness of a stream, in LUFS: a tenth of a Meter's work."""

    def __init__(self, sample_rate_hz: int, speakers: Sequence[str]) -> None:
        self._state = _state(sample_rate_hz, speakers, MeasurementMode.MODE_I)

    def add(self, block: Block) -> None:
        """Take a block."""
        self._state.add_frames(np.ascontiguousarray(block).reshape(-1), len(block))

    def finish(self) -> float | None:
        """The loudness of the stream, which has ended; None for silence or under 0.4 s."""
        return _known(pyebur128.get_loudness_global(self._state))


class Blocks:
    """The loudness of every gating block of a stream: 0.4 s long, a new one each 0.1 s."""

    def __init__(self, sample_rate_hz: int, speakers: Sequence[str]) -> None:
        self._state = _state(sample_rate_hz, speakers, MeasurementMode.MODE_M)
        self._rate = sample_rate_hz
        self._frames = self._steps = 0

    def add(self, block: Block) -> list[float]:
        """Take a block of the stream; the blocks that end in it, in LUFS, -inf for silence."""
        ended = []
        while len(block):
            until = round((self._steps + 1) * _STEP_S * self._rate)
            part = block[: until - self._frames]
            self._state.add_frames(np.ascontiguousarray(part).reshape(-1), len(part))
            self._frames += len(part)
            block = block[len(part) :]
            if self._frames == until:
                self._steps += 1
                if self._steps >= round(_BLOCK_S / _STEP_S):
                    ended.append(float(pyebur128.get_loudness_momentary(self._state)))
        return ended


def gated(blocks: _Lufs) -> float | None:
    """The integrated loudness of gating blocks, in LUFS (ITU-R BS.1770-5, equations 5 to 7).

    None where no block is above the absolute gate.
    """
    energies = 10 ** (blocks[blocks >= SILENT_LUFS] / 10)
    if not len(energies):
        return None
    loud = energies[energies > energies.mean() / 10]
    return float(10 * np.log10(loud.mean()))


def _means(energies: _Lufs, cells: int) -> _Lufs:
    """The mean of each so many energies that follow each other."""
    # Row by row of contiguous memory: the same bits however many rows there are.
    rows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(energies, cells))
    means: _Lufs = rows.mean(axis=1)
    return means


def _loud(energy: float) -> float:
    return _OFFSET_LUFS + 10 * math.log10(energy) if energy > 0 else -math.inf


def _state(sample_rate_hz: int, speakers: Sequence[str], modes: int) -> pyebur128.R128State:
    state = pyebur128.R128State(len(speakers), sample_rate_hz, modes)
    for channel, kind in enumerate(_kinds(speakers)):
        state.set_channel(channel, kind)
    return state


def _kinds(speakers: Sequence[str]) -> list[ChannelType]:
    kinds = [_PLACES.get(name, ChannelType.M_PLUS_SC) for name in speakers]
    if "SL" not in speakers:
        # In 5.1 the pair at the back stands at 110 degrees, not behind.
        surround = {"BL": ChannelType.LEFT_SURROUND, "BR": ChannelType.RIGHT_SURROUND}
        kinds = [surround.get(name, kind) for name, kind in zip(speakers, kinds, strict=True)]
    return kinds


def _known(level: float) -> float | None:
    return float(level) if math.isfinite(level) else None
