"""Sound in from any file, out to a file that is whole or absent.

`Reader` decodes one track with FFmpeg's libraries and lays it on the container's clock (see
`timeline`), so a damaged stream stays in sync. `Writer` writes beside the target under another name
and renames at the end.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.audio
import numpy as np
import numpy.typing as npt
import soundfile
from av.container import InputContainer

from .closes import Closes
from .error import SoundError
from .loudness import Levels
from .metadata import TITLES, Metadata, append_chunks, from_tags, set_speakers
from .signal import Block
from .timeline import Timeline, anchor

__all__ = ["SUBTYPES", "Damage", "Reader", "Writer", "read_metadata"]

_LOOK_AHEAD_FRAMES = 16
_CLOCK_MAY_RESTART = 0x0200  # AVFMT_TS_DISCONT
_MOST_DAMAGE = 200
# Broadcast and disc tracks may begin seconds after the file does.
_PROBE = {"probesize": "20000000", "analyzeduration": "10000000"}
_FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63}
# What a meter and a filter can be made for; more is a broken header, not sound.
_LOWEST_HZ, _HIGHEST_HZ = 1000, 768000
_MOST_CHANNELS = 64
# Their headers tell the length to the sample.
_EXACT = ("w64", "aiff", "caf", "flac")
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


class Reader(Closes):
    """One track of a file as a stream of blocks (frames, channels), float64, full scale at 1.0.

    source: any file with sound. track: counted among its sound streams. start_s: where on the
    container's clock the stream begins; silence is put before a track that begins later, and what
    lies before is dropped, to the sample; None: where the track begins. duration_s: exact length,
    None: to the track's end. within: reach start_s by seeking, and give only what the track really
    has, no silence around it. Raises SoundError where there is no such sound.

    sample_rate_hz, speakers (channel places by FFmpeg's names) and start_s are the track's;
    metadata's times count from the stream's beginning. damage, lost_s and invalid_samples grow
    while blocks are read.
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
        self._wav_frames, self._wrapped = _wav_length(Path(source))
        self._container = _opened(Path(source), mended=self._wrapped)
        try:
            self._begin(track, start_s, within)
        except (ValueError, MemoryError) as error:
            self._container.close()
            if isinstance(error, SoundError):
                raise
            # PyAV's answer where FFmpeg has no decoder, or a header asks for more than there is.
            raise SoundError(
                f"track {track} of {self._name} cannot be decoded ({_reason(error)})"
            ) from error
        except BaseException:
            self._container.close()
            raise
        self.frames = (
            None if duration_s is None else round(Fraction(duration_s) * self.sample_rate_hz)
        )
        told = self._told_frames()
        # Without a length FFmpeg would go on into what follows the samples.
        if self.frames is None and told and self._wrapped:
            self.frames = max(0, told - self._skip)
        self._within = within

    def close(self) -> None:
        """Let go of what is held."""
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

    @property
    def metadata(self) -> Metadata:
        """Titles, recording time and marks; times count from the stream's beginning."""
        tags = dict(self._container.metadata)
        if self._kind == "ogg":  # keeps them with the track
            tags |= self._stream.metadata
        chapters = [
            (
                float(chapter["start"] * _exact(chapter["time_base"]) - self.start_s),
                chapter["metadata"].get("title", ""),
            )
            for chapter in self._container.chapters()
        ]
        found = from_tags(tags, chapters, Path(self._name), self.sample_rate_hz)
        return found.begun_at(self._skip / self.sample_rate_hz)

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
        self._kind = self._container.format.name
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
        if self._wrapped:
            self._note("the header's length is wrong, as often over 4 GiB; read to the true end")
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
        told = self._told_frames()
        if told is not None and not self._within:
            missing = told - self._skip - self._position
            if missing > 0:
                self._note(
                    f"the file ends {missing / self.sample_rate_hz:.3f} s before its header says"
                )

    def _told_frames(self) -> int | None:
        """How long the track is by its header, where that is exact."""
        if self._kind == "wav":
            return self._wav_frames
        base, whole = self._stream.time_base, self._stream.duration
        if self._kind not in _EXACT or base is None or not whole:
            return None
        return round(whole * base * self.sample_rate_hz)

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
            if not (_LOWEST_HZ <= facts[0] <= _HIGHEST_HZ and 1 <= facts[1] <= _MOST_CHANNELS):
                raise SoundError(
                    f"{self._name} says that it has {facts[1]} channels at {facts[0]} Hz; it may "
                    f"have {_MOST_CHANNELS}, at {_LOWEST_HZ} to {_HIGHEST_HZ} Hz"
                )
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
_LARGEST_WAV = 2**32 - 2**20  # room for the header and for metadata


class Writer(Closes):
    """A sound file being written: under its own name only after `commit`.

    target: .wav (RF64 where it would pass 4 GiB), .rf64, .w64, .flac, .aiff or .caf. subtype: one
    of SUBTYPES. frames: how many will be written, for the choice of RF64. metadata: titles go into
    all but W64, which has no place for them; the rest into WAV and RF64. speakers: where the
    channels stand, which WAV and RF64 tell for more than two. Raises SoundError where the file
    cannot be made, or cannot be written to its end.

    loudness: the master's levels; set before `commit`, they go into the broadcast extension.
    """

    def __init__(
        self,
        target: str | Path,
        sample_rate_hz: int,
        channels: int,
        subtype: str,
        frames: int,
        *,
        metadata: Metadata | None = None,
        speakers: Sequence[str] = (),
    ) -> None:
        self.loudness: Levels | None = None
        self._metadata, self._speakers = metadata, speakers
        self._facts = sample_rate_hz, channels, 8 * _BYTES.get(subtype, 0)
        self._target = Path(target)
        self._part = self._target.with_name(f".{self._target.stem}.{os.getpid()}.part")
        self._written = 0
        kind = file_format(self._target, subtype)
        large = frames * channels * _BYTES[subtype] > _LARGEST_WAV
        if kind == "AIFF" and large:
            raise SoundError(
                f"{self._target} would pass 4 GiB, which aiff cannot; use .caf or .wav"
            )
        if kind == "WAV" and large:
            kind = "RF64"
        elif kind == "WAV" and channels > 2:
            kind = "WAVEX"  # says which channel stands where
        self._kind = kind
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
        if metadata is not None and kind != "W64":
            for title in TITLES:
                if text := getattr(metadata, title):
                    setattr(self._file, "tracknumber" if title == "track" else title, text)

    def close(self) -> None:
        """Let go of what is held."""
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
            self._file_facts()
            whole = soundfile.info(self._part).frames == self._written
            if whole:
                with self._part.open("rb+") as file:
                    os.fsync(file.fileno())
                self._part.replace(self._target)
        except (soundfile.SoundFileError, OSError) as error:
            raise self._unfinished(_reason(error)) from error
        if not whole:
            raise self._unfinished("the file is shorter than what was written")

    def _file_facts(self) -> None:
        if self._kind not in ("WAV", "WAVEX", "RF64"):
            return
        if self._speakers:
            set_speakers(self._part, self._speakers)
        if self._metadata is not None:
            chunks = self._metadata.chunks(*self._facts, self._written, self.loudness)
            append_chunks(self._part, chunks)

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


def read_metadata(source: str | Path, track: int = 0) -> Metadata:
    """What a recording says of itself. Raises SoundError where it has no such sound."""
    with Reader(source, track) as reader:
        return reader.metadata


def _opened(source: Path, *, mended: bool) -> InputContainer:
    if not source.exists():
        raise SoundError(f"{source} does not exist")
    if source.is_dir():
        raise SoundError(f"{source} is a folder, not a sound file")
    if source.is_fifo() or source.is_socket():
        raise SoundError(f"{source} is a pipe; a file is needed, for it is read more than once")
    if source.is_file() and not source.stat().st_size:
        raise SoundError(f"{source} is empty")
    try:
        # "file:" keeps a name such as "live: 2000.wav" from being read as an address.
        name = _Mended(source) if mended else f"file:{source}"
        return av.open(name, "r", options=_PROBE)
    except PermissionError as error:
        raise SoundError(f"{source} may not be read: permission denied") from error
    except (av.FFmpegError, OSError) as error:
        raise SoundError(f"{source} is not a readable media file ({error.strerror})") from error


class _Mended:
    """A WAV as a file object whose header says that its lengths are not known."""

    def __init__(self, source: Path) -> None:
        self._file = source.open("rb")
        data = self._file.read(4096).find(b"data")
        self._fields = 4, data + 4
        self._file.seek(0)

    def read(self, size: int) -> bytes:
        """The next bytes."""
        start = self._file.tell()
        got = self._file.read(size)
        if start <= max(self._fields):
            changed = bytearray(got)
            for field in self._fields:
                for at in range(field - start, field - start + 4):
                    if 0 <= at < len(changed):
                        changed[at] = 0xFF
            got = bytes(changed)
        return got

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _wav_length(source: Path) -> tuple[int | None, bool]:
    """A PCM WAV's frames by its header, and whether that was wrong by whole times 4 GiB.

    Many programs write a plain WAV of more than 4 GiB with the length's upper bits lost.
    """
    if not source.is_file():  # opening a pipe would wait
        return None, False
    try:
        with source.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return None, False
    form, data = head.find(b"fmt "), head.find(b"data")
    if head[8:12] != b"WAVE" or not 0 < form < data <= len(head) - 8:
        return None, False
    step = int.from_bytes(head[form + 20 : form + 22], "little")
    told = int.from_bytes(head[data + 4 : data + 8], "little")
    unknown = told in (0, 2**32 - 1)  # RF64, or a recorder that was cut off
    if not step or unknown or head[:4] != b"RIFF":
        return None, False
    lost = (source.stat().st_size - data - 8 - told) >> 32 if told else 0
    return (told + (max(0, lost) << 32)) // step, lost > 0


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
    return frame.pts * _exact(frame.time_base)


def _exact(base: Any) -> Fraction:
    """PyAV's rational as Python's; its stubs call a chapter's an int."""
    return Fraction(base.numerator, base.denominator)


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
