"""Sound in from any file, out to a file that is whole or absent.

`Reader` decodes one track with FFmpeg's libraries and lays it on the container's clock (see
`timeline`), so a damaged stream stays in sync. `Writer` writes beside the target under another name
and renames at the end.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import av
import av.audio
import numpy as np
import numpy.typing as npt
import soundfile
from av.container import InputContainer

from .error import SoundError
from .signal import Block
from .timeline import Timeline, anchor

__all__ = ["SUBTYPES", "Damage", "Reader", "Writer"]

_LOOK_AHEAD_FRAMES = 16
_CLOCK_MAY_RESTART = 0x0200  # AVFMT_TS_DISCONT
_MOST_DAMAGE = 200
# Broadcast and disc tracks may begin seconds after the file does.
_PROBE = {"probesize": "20000000", "analyzeduration": "10000000"}
_FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63}
# Beyond +120 dBFS a float is not sound but a broken file.
_ABSURD = 1e6

_USUAL_SPEAKERS = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


class Damage(NamedTuple):
    """Where the source was not whole: seconds from the output's beginning, and what was there."""

    at_s: float
    what: str


class Reader:
    """One track of a file as a stream of blocks (frames, channels), float64, full scale at 1.0.

    source: any file with sound. track: counted among its sound streams. start_s: where on the
    container's clock the stream begins; silence is put before a track that begins later, and what
    lies before is dropped, to the sample; None: where the track begins. duration_s: exact length,
    None: to the track's end. within: reach start_s by seeking, and give only what the track really
    has, no silence around it. Raises SoundError where there is no such sound.

    sample_rate_hz, speakers (channel places by FFmpeg's names) and start_s are the track's; damage,
    lost_s and invalid_samples grow while blocks are read.
    """

    def __init__(
        self,
        source: str | Path,
        track: int = 0,
        *,
        start_s: float | Fraction | None = None,
        duration_s: float | Fraction | None = None,
        within: bool = False,
    ) -> None:
        self._name = str(source)
        self.damage: list[Damage] = []
        self.damage_count = 0
        self.lost_s = 0.0
        self.invalid_samples = 0
        self._container = _opened(Path(source))
        try:
            self._begin(track, start_s, within)
        except BaseException:
            self._container.close()
            raise
        self.frames = (
            None if duration_s is None else round(Fraction(duration_s) * self.sample_rate_hz)
        )
        self._within = within

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()

    @property
    def channels(self) -> int:
        """How many channels."""
        return len(self.speakers)

    @property
    def length_s(self) -> float | None:
        """How long the stream should be, as far as the file says."""
        if self.frames is not None:
            return self.frames / self.sample_rate_hz
        whole = self._stream.duration
        if whole is not None and self._stream.time_base is not None:
            return max(0.0, float(whole * self._stream.time_base))
        return self._container.duration / av.time_base if self._container.duration else None

    def blocks(self) -> Iterator[Block]:
        """The stream, once, in blocks of about a second."""
        size = self.sample_rate_hz
        parts: list[Block] = []
        held = 0
        for part in self._bounded():
            parts.append(part)
            held += len(part)
            if held >= size:
                yield self._sane(np.concatenate(parts))
                parts, held = [], 0
        if parts:
            yield self._sane(np.concatenate(parts))

    def _begin(self, track: int, start_s: float | Fraction | None, within: bool) -> None:
        streams = self._container.streams.audio
        if not streams:
            raise SoundError(f"{self._name} has no sound")
        if not 0 <= track < len(streams):
            held = "1 sound track" if len(streams) == 1 else f"{len(streams)} sound tracks"
            raise SoundError(
                f"there is no sound track {track} in {self._name}: it has {held}, from 0"
            )
        self._stream = streams[track]
        self._first: tuple[int, int] | None = None
        self._resampler: av.AudioResampler | None = None
        if within and start_s is not None:
            self._seek(Fraction(start_s))
        # Counted from the first decoded sample at first, and from the wanted start later.
        self._position = 0
        self._coming = self._decoded()
        self._ahead: list[tuple[Fraction | None, Block]] = []
        for piece in self._coming:
            self._ahead.append(piece)
            self._position += len(piece[1])
            if len(self._ahead) == _LOOK_AHEAD_FRAMES:
                break
        if not self._ahead:
            raise SoundError(f"no sound could be decoded from track {track} of {self._name}")
        self.start_s = anchor([(at, len(part)) for at, part in self._ahead], self.sample_rate_hz)
        wanted = self.start_s if start_s is None else Fraction(start_s)
        self._skip = round((wanted - self.start_s) * self.sample_rate_hz)
        found, self.damage, self.damage_count = self.damage, [], 0
        for at_s, what in found:
            self._position = round(at_s * self.sample_rate_hz) - self._skip
            self._note(what)

    def _seek(self, start: Fraction) -> None:
        # Decoders need some packets before they give what they should.
        base = self._stream.time_base
        if base is not None:
            with suppress(av.FFmpegError):
                self._container.seek(round((start - 2) / base), stream=self._stream)

    def _bounded(self) -> Iterator[Block]:
        """From the wanted start, for the wanted length."""
        left = self.frames
        skip = max(self._skip, 0)
        for part in self._from_start():
            part, skip = part[skip:], skip - min(skip, len(part))
            if left is not None:
                part = part[:left]
                left -= len(part)
            if len(part):
                yield part
            if left == 0:
                return
        if left and not self._within:
            self._note(f"the track ends {left / self.sample_rate_hz:.3f} s early; silence instead")
            yield from self._silence(left)

    def _from_start(self) -> Iterator[Block]:
        """From the wanted start or the track's, whichever is earlier."""
        early = max(-self._skip, 0)
        self._position = -self._skip
        if not self._within:
            yield from self._silence(early)
        elif self.frames is not None:
            self.frames = max(0, self.frames - early)
        yield from self._placed()

    def _placed(self) -> Iterator[Block]:
        restarts = bool(self._container.format.flags & _CLOCK_MAY_RESTART)
        timeline = Timeline(self.start_s, self.sample_rate_hz, restarts=restarts)
        ahead, self._ahead = self._ahead, []
        for (at, part), after in _with_following(chain(ahead, self._coming)):
            place = timeline.place(at, len(part), after)
            if place.new_clock:
                self._note("the clock leaps; the sound goes on without a gap")
            if place.gap:
                self._note(f"{place.gap / self.sample_rate_hz:.3f} s missing; silence instead")
                self.lost_s += place.gap / self.sample_rate_hz
                for silence in self._silence(place.gap):
                    self._position += len(silence)
                    yield silence
            if place.drop:
                self._note(f"{place.drop / self.sample_rate_hz:.3f} s came twice; dropped once")
            self._position += len(part) - place.drop
            if place.drop < len(part):
                yield part[place.drop :]

    def _silence(self, frames: int) -> Iterator[Block]:
        for start in range(0, frames, self.sample_rate_hz):
            yield np.zeros((min(self.sample_rate_hz, frames - start), self.channels))

    def _decoded(self) -> Iterator[tuple[Fraction | None, Block]]:
        """Frames as (stamp in seconds, samples), whatever does not decode left out."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self._note(f"the file cannot be read further ({error.strerror})")
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._note("a packet does not decode")
                continue
            for frame in frames:
                yield from self._converted(frame)

    def _converted(self, frame: av.AudioFrame) -> Iterator[tuple[Fraction | None, Block]]:
        facts = frame.sample_rate, frame.layout.nb_channels
        if self._first is None:
            self._first = facts
            self._format = facts
            self._layout = frame.layout
            self.sample_rate_hz = frame.sample_rate
            names = tuple(channel.name for channel in frame.layout.channels)
            usual = _USUAL_SPEAKERS.get(facts[1], tuple(f"C{n}" for n in range(facts[1])))
            known = len(names) == facts[1] and not any(n in ("", "NONE", "UNK") for n in names)
            self.speakers = names if known else usual
        if facts != self._format:
            self._format = facts
            self._resampler = av.AudioResampler("dblp", self._layout, self.sample_rate_hz)
            self._note(f"the sound changes to {facts[1]} channels at {facts[0]} Hz; converted")
        if frame.is_corrupt:
            self._note("a frame is damaged")
        if facts == self._first or self._resampler is None:
            yield _stamp(frame), _samples(frame)
            return
        for converted in self._resampler.resample(frame):
            yield _stamp(converted), _samples(converted)

    def _note(self, what: str) -> None:
        at = self._position / self.sample_rate_hz if self._first else 0.0
        # What lies before the wanted start is nobody's loss.
        if at < 0:
            return
        self.damage_count += 1
        if len(self.damage) < _MOST_DAMAGE:
            self.damage.append(Damage(round(at, 3), what))

    def _sane(self, block: Block) -> Block:
        good = np.abs(block) < _ABSURD  # False for NaN too
        if not good.all():
            self.invalid_samples += int(block.size - np.count_nonzero(good))
            block = np.where(good, block, 0.0)
        return block


SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")
"""What a sample can be written as."""

_FORMATS = {
    ".wav": "WAV",
    ".rf64": "RF64",
    ".w64": "W64",
    ".flac": "FLAC",
    ".aif": "AIFF",
    ".aiff": "AIFF",
    ".caf": "CAF",
}
_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
_LARGEST_WAV = 2**32 - 2**16


class Writer:
    """A sound file being written: under its own name only after `commit`.

    target: .wav (RF64 where it would pass 4 GiB), .rf64, .w64, .flac, .aiff or .caf. subtype: one
    of SUBTYPES. frames: how many will be written, for the choice of RF64. Raises SoundError where
    the file cannot be made, or cannot be written to its end.
    """

    def __init__(
        self, target: str | Path, sample_rate_hz: int, channels: int, subtype: str, frames: int
    ) -> None:
        self._target = Path(target)
        self._part = self._target.with_name(f".{self._target.stem}.{os.getpid()}.part")
        self._written = 0
        kind = file_format(self._target, subtype)
        if kind == "WAV" and frames * channels * _BYTES[subtype] > _LARGEST_WAV:
            kind = "RF64"
        elif kind == "WAV" and channels > 2:
            kind = "WAVEX"  # says which channel stands where
        try:
            self._file = soundfile.SoundFile(
                self._part, "w", sample_rate_hz, channels, subtype, format=kind
            )
        except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
            self._part.unlink(missing_ok=True)
            raise SoundError(
                f"cannot write {self._target} as {kind}, {channels} channels at "
                f"{sample_rate_hz} Hz: {_reason(error)}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(soundfile.SoundFileError, OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def write(self, samples: npt.NDArray[np.generic]) -> None:
        """Write (frames, channels) of int16, int32 (24 bits in the upper bytes) or float32."""
        try:
            self._file.write(samples)
        except (soundfile.SoundFileError, OSError, AssertionError) as error:
            raise self._unfinished(_reason(error)) from error
        self._written += len(samples)

    def commit(self) -> None:
        """Close, check that all is there, and give the file its name."""
        try:
            self._file.close()
            # A full disk may only show when the last bytes go out.
            whole = soundfile.info(self._part).frames == self._written
            if whole:
                with self._part.open("rb+") as file:
                    os.fsync(file.fileno())
                self._part.replace(self._target)
        except (soundfile.SoundFileError, OSError) as error:
            raise self._unfinished(_reason(error)) from error
        if not whole:
            raise self._unfinished("the file is shorter than what was written")

    def _unfinished(self, reason: str) -> SoundError:
        return SoundError(
            f"{self._target} could not be written to its end ({reason}); is the disk full?"
        )


def file_format(target: Path, subtype: str) -> str:
    """libsndfile's name for the target's format.

    Raises SoundError for an unknown suffix, or samples that the format cannot hold.
    """
    kind = _FORMATS.get(target.suffix.lower())
    if kind is None:
        raise SoundError(
            f"cannot tell a sound format from {target.name!r}; use {', '.join(_FORMATS)}"
        )
    if subtype not in SUBTYPES:
        raise SoundError(f"subtype is {subtype!r}; it may be auto, {', '.join(SUBTYPES)}")
    if kind == "FLAC" and subtype == "FLOAT":
        raise SoundError("flac holds no float samples; use PCM_24, or a .wav")
    return kind


def _opened(source: Path) -> InputContainer:
    if not source.exists():
        raise SoundError(f"{source} does not exist")
    if source.is_dir():
        raise SoundError(f"{source} is a folder, not a sound file")
    if source.is_file() and not source.stat().st_size:
        raise SoundError(f"{source} is empty")
    try:
        # "file:" keeps a name such as "live: 2000.wav" from being read as an address.
        return av.open(f"file:{source}", options=_PROBE)
    except PermissionError as error:
        raise SoundError(f"{source} may not be read: permission denied") from error
    except (av.FFmpegError, OSError) as error:
        raise SoundError(f"{source} is not a readable media file ({error.strerror})") from error


def _with_following(
    pieces: Iterable[tuple[Fraction | None, Block]],
) -> Iterator[tuple[tuple[Fraction | None, Block], Fraction | None]]:
    """Each piece with the stamp of the one after it, which is None after the last."""
    last: tuple[Fraction | None, Block] | None = None
    for piece in pieces:
        if last is not None:
            yield last, piece[0]
        last = piece
    if last is not None:
        yield last, None


def _stamp(frame: av.AudioFrame) -> Fraction | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return frame.pts * Fraction(frame.time_base.numerator, frame.time_base.denominator)


def _samples(frame: av.AudioFrame) -> Block:
    raw = frame.to_ndarray()
    planes = raw if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels).T
    samples = planes.T.astype(np.float64, order="C")
    name = frame.format.name.removesuffix("p")
    if name == "u8":
        samples -= 128
    return samples / _FULL_SCALE[name] if name in _FULL_SCALE else samples


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
