"""A mix taken apart, mended stem by stem, set at other levels, and put together again.

What comes out is the mix plus, for every stem that was changed, its change: `mix + sum(changed -
stem)`. That is the sum of all stems, since they sum to the mix; but what nobody touches is not even
rounded, and where nothing is changed the mix comes out bit for bit.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

from .closes import Closes
from .error import SoundError
from .signal import Block, Stage
from .stems import RESIDUAL, Stems, StemSource
from .stream import Writer
from .waiting import Waiting

__all__ = ["HIGHEST_DB", "LOWEST_DB", "KeptStems", "StemFiles", "StemMix"]

LOWEST_DB, HIGHEST_DB = -12.0, 6.0
"""A stem may be moved by so much: separation leaks, and further apart the leaks are heard."""

_CROSSFADE_S = 1.0

type Levels = float | Sequence[tuple[float, float]]
"""Decibels for the whole stream, or (from which second, decibels) in order of time."""


class StemMix:
    """Per-stem repair and rebalance as one stage (frames, channels).

    source: a `Separator`, or `KeptStems`. chains: the stages of a stem, by its name; each takes
    (frames, channels) and gives its delay back. levels_db: how much louder each stem becomes, from
    LOWEST_DB to HIGHEST_DB, crossfaded where it changes. tap: gets every block of untouched stems.
    Raises SoundError for a stem that the source does not have, or a level out of bounds.
    """

    def __init__(
        self,
        source: StemSource,
        sample_rate_hz: int,
        channels: int,
        chains: Mapping[str, Sequence[Stage]],
        levels_db: Mapping[str, Levels],
        tap: Callable[[Stems], None] | None = None,
    ) -> None:
        known = list(source.stems)
        for name in (*chains, *levels_db):
            if name not in known:
                raise SoundError(f"there is no stem {name!r}; there are: {', '.join(known)}")
        self._source, self._tap = source, tap
        self._channels = channels
        self._mix = Waiting(channels)
        self._changes = []
        for number, name in enumerate(known):
            steps = _steps(name, levels_db.get(name, 0.0))
            chain = chains.get(name, ())
            if chain or any(level_db for _, level_db in steps):
                gain = _Ride(steps, sample_rate_hz)
                self._changes.append(_Change(number, _Chain(chain), gain, channels))

    @property
    def latency(self) -> int:
        """Frames held back at most: the separation's, and the slowest stem's."""
        if not self._changes:
            return 0
        return self._source.latency + max(change.latency for change in self._changes)

    def process(self, block: Block) -> Block:
        """Take a block of the mix; give what is ready."""
        self._mix.put(block)
        if self._changes or self._tap:
            self._hand_out(self._source.process(block))
        return self._ready()

    def flush(self) -> Block:
        """The rest of the mix."""
        if self._changes or self._tap:
            self._hand_out(self._source.flush())
        for change in self._changes:
            change.finish()
        return self._ready()

    def _hand_out(self, stems: Stems) -> None:
        if not len(stems):
            return
        if self._tap:
            self._tap(stems)
        for change in self._changes:
            change.add(stems)

    def _ready(self) -> Block:
        frames = min((len(change.ready) for change in self._changes), default=len(self._mix))
        mix = self._mix.take(frames)
        for change in self._changes:
            mix = mix + change.ready.take(frames)
        return mix


class StemFiles(Closes):
    """Stems being written to a folder, as STEM.wav in float: there only after `commit`.

    frames: how many will be written. `write` can be the tap of a `StemMix`. Raises SoundError where
    a file cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        stems: Sequence[str],
        sample_rate_hz: int,
        channels: int,
        frames: int,
    ) -> None:
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SoundError(f"{folder} cannot be made ({error.strerror})") from error
        with ExitStack() as made:
            self._writers = [
                made.enter_context(
                    Writer(folder / f"{name}.wav", sample_rate_hz, channels, "FLOAT", frames)
                )
                for name in stems
            ]
            self._open = made.pop_all()

    def close(self) -> None:
        """Let go of what is held."""
        self._open.close()

    def write(self, stems: Stems) -> None:
        """Write (frames, channels, stems)."""
        for number, writer in enumerate(self._writers):
            writer.write(stems[..., number].astype(np.float32))

    def commit(self) -> None:
        """Give the files their names, once all are whole."""
        for writer in self._writers:
            writer.commit()


class KeptStems(Closes):
    """The stems of a folder that `StemFiles` wrote, beside the mix that they were made of.

    stems: their names, the residual last; other files in the folder do not matter. So a recording
    is separated once and mixed as often as one likes. The residual is what the mix has more than
    the other stems. Raises SoundError where the folder does not fit the mix.
    """

    latency = 0

    def __init__(
        self, folder: str | Path, stems: Sequence[str], sample_rate_hz: int, channels: int
    ) -> None:
        self._names = [name for name in stems if name != RESIDUAL]
        self.stems = (*self._names, RESIDUAL)
        self._open = ExitStack()
        self._files = []
        with ExitStack() as opened:
            for name in self._names:
                path = Path(folder) / f"{name}.wav"
                try:
                    file = opened.enter_context(soundfile.SoundFile(path))
                except (soundfile.SoundFileError, OSError) as error:
                    raise SoundError(f"{path} cannot be read") from error
                if (file.samplerate, file.channels) != (sample_rate_hz, channels):
                    raise SoundError(
                        f"{path} has {file.channels} channels at {file.samplerate} Hz;"
                        f" the mix has {channels} at {sample_rate_hz}"
                    )
                self._files.append(file)
            self._open = opened.pop_all()

    def close(self) -> None:
        """Let go of what is held."""
        self._open.close()

    def process(self, block: Block) -> Stems:
        """Take a block of the mix (frames, channels); give its stems."""
        stems = np.zeros((*block.shape, len(self.stems)))
        for number, file in enumerate(self._files):
            part = file.read(len(block), always_2d=True)
            if len(part) < len(block):
                raise SoundError(f"{file.name} ends before the mix does; separate anew")
            stems[..., number] = part
        stems[..., -1] = block - stems.sum(axis=2)
        return stems

    def flush(self) -> Stems:
        """Nothing is held back."""
        return np.zeros((0, self._files[0].channels, len(self.stems)))


class _Change:
    """What one stem's chain and level add to the mix."""

    def __init__(self, number: int, chain: "_Chain", ride: "_Ride", channels: int) -> None:
        self._number, self._chain, self._ride = number, chain, ride
        self._stem = Waiting(channels)
        self.ready = Waiting(channels)

    @property
    def latency(self) -> int:
        return self._chain.latency

    def add(self, stems: Stems) -> None:
        stem = stems[..., self._number]
        self._stem.put(stem)
        self._compare(self._chain.process(stem))

    def finish(self) -> None:
        self._compare(self._chain.flush())

    def _compare(self, changed: Block) -> None:
        if len(changed):
            self.ready.put(self._ride.process(changed) - self._stem.take(len(changed)))


class _Chain:
    """Stages in a row, as one."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = list(stages)

    @property
    def latency(self) -> int:
        return sum(stage.latency for stage in self._stages)

    def process(self, block: Block) -> Block:
        for stage in self._stages:
            if len(block):
                block = stage.process(block)
        return block

    def flush(self) -> Block:
        parts = [np.zeros((0, 1))]
        for index, stage in enumerate(self._stages):
            rest = stage.flush()
            for later in self._stages[index + 1 :]:
                if len(rest):
                    rest = later.process(rest)
            parts.append(rest)
        whole = [part for part in parts if len(part)]
        return np.concatenate(whole) if whole else parts[0]


class _Ride:
    """A gain over time: constant, or crossfaded linearly from each level to the next."""

    def __init__(self, steps: Sequence[tuple[float, float]], sample_rate_hz: int) -> None:
        self._at = [0.0]
        self._gain = [1.0]
        ends = [at_s for at_s, _ in steps[1:]] + [float("inf")]
        for (at_s, level_db), end_s in zip(steps, ends, strict=True):
            gain = 10 ** (level_db / 20)
            if at_s <= 0:
                self._gain = [gain]
                continue
            self._at += [at_s, min(at_s + _CROSSFADE_S, end_s)]
            self._gain += [self._gain[-1], gain]
        self._rate = sample_rate_hz
        self._passed = 0

    def process(self, block: Block) -> Block:
        if len(self._gain) == 1:
            return block * self._gain[0]
        at_s = (self._passed + np.arange(len(block))) / self._rate
        self._passed += len(block)
        ridden: Block = block * np.interp(at_s, self._at, self._gain)[:, np.newaxis]
        return ridden


def _steps(name: str, levels: Levels) -> list[tuple[float, float]]:
    steps = [(0.0, levels)] if isinstance(levels, int | float) else list(levels)
    for _, level_db in steps:
        if not LOWEST_DB <= level_db <= HIGHEST_DB:
            raise SoundError(
                f"level of {name} is {level_db} dB; it may be {LOWEST_DB:g} to {HIGHEST_DB:g}"
            )
    times = [at_s for at_s, _ in steps]
    if times != sorted(set(times)):
        raise SoundError(f"levels of {name} are not in order of time")
    return steps
