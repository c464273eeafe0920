"""DVDs: which title is the show, whether the disc is encrypted, and a remux without loss.

Sources: the MPEG-2 program stream (ISO/IEC 13818-1, 2.5.3 and 2.4.3.7: `PES_scrambling_control`)
in which a DVD stores one pack in each sector of 2048 bytes; FFmpeg's `dvdvideo` demuxer, which
follows the disc's own program chains and so gives one clock and the chapters.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from encore.errors import JobError, RequestError
from encore.ffmpeg import program
from encore.process import spawned
from encore.progress import Reporter, Update

__all__ = [
    "image_kind",
    "is_encrypted",
    "is_program_stream_of_a_disc",
    "remux_folder",
    "remux_title",
    "remux_vobs",
    "video_ts",
]

SECTOR = 2048
_PACK = b"\x00\x00\x01\xba"
_START = b"\x00\x00\x01"
_DESCRIPTORS_AT = 16 * SECTOR  # ISO 9660 and UDF both begin their descriptors at sector 16
_DISC_FILE = re.compile(r"(?i)^(VIDEO_TS\.IFO|VTS_\d\d_\d\.(VOB|IFO))$")
_TITLE_VOB = re.compile(r"(?i)^VTS_\d\d_[1-9]\.VOB$")
_EXAMINED_SECTORS = 20_000
_ENCRYPTED = (
    "this disc is encrypted (CSS); Encore does not decrypt: copy it with a tool that may, "
    "then give the folder"
)
_DVDVIDEO = ("-f", "dvdvideo", "-trim", "0")
"""Trimming takes a first chapter shorter than a second for padding, and loses it."""
_LATE_STREAMS = ("-probesize", "200M", "-analyzeduration", "200M")
"""A DVD's second sound or first subtitle may come minutes after its beginning."""


def image_kind(path: Path) -> str | None:
    """The file system of a disc image, "iso9660" or "udf"; None where it is no disc image."""
    with path.open("rb") as file:
        file.seek(_DESCRIPTORS_AT)
        descriptor = file.read(6)
    return {b"CD001": "iso9660", b"BEA01": "udf"}.get(descriptor[1:6])


def is_program_stream_of_a_disc(path: Path) -> bool:
    """True for a VOB: MPEG packs, one in each of the first sectors."""
    if path.suffix.lower() != ".vob":
        return False
    with path.open("rb") as file:
        sectors = [file.read(SECTOR)[:4] for _ in range(2)]
    return sectors[0] == _PACK and sectors[1] in (_PACK, b"")


def video_ts(folder: Path) -> Path | None:
    """The VIDEO_TS folder that `folder` is or holds; None where there is none."""
    if any(_DISC_FILE.match(inside.name) for inside in folder.iterdir()):
        return folder
    for inside in folder.iterdir():
        if inside.is_dir() and inside.name.upper() == "VIDEO_TS":
            return inside
    return None


def is_encrypted(files: list[Path]) -> bool:
    """True where packets carry scrambled payload; looks at sectors spread over all of `files`."""
    each = max(1, _EXAMINED_SECTORS // max(1, len(files)))
    return any(_scrambled(sector) for path in files for sector in _spread_sectors(path, each))


def remux_folder(folder: Path, work: Path, reporter: Reporter) -> Path:
    """The longest title of a VIDEO_TS folder as one MKV in `work`."""
    vobs = _title_vobs(folder)
    if not vobs:
        raise RequestError(f"{str(folder)!r} holds no VTS_xx_1.VOB: there is no show on this disc")
    if is_encrypted(vobs):
        raise RequestError(f"{str(folder)!r}: {_ENCRYPTED}")
    if _has_index(folder):
        root = folder.parent if folder.name.upper() == "VIDEO_TS" else folder
        try:
            return _remux_longest(root, work, reporter)
        except RequestError:
            reporter.warn("the disc's index cannot be read; its largest title set is taken")
    else:
        reporter.warn(
            "the disc has no index (IFO): its largest title set is taken, chapters and "
            "languages are not known"
        )
    return remux_vobs(_largest_set(vobs), work, reporter)


def remux_title(image: Path, work: Path, reporter: Reporter) -> Path:
    """The longest title of a DVD image as one MKV in `work`."""
    if is_encrypted([image]):
        raise RequestError(f"{str(image)!r}: {_ENCRYPTED}")
    return _remux_longest(image, work, reporter)


def remux_vobs(vobs: list[Path], work: Path, reporter: Reporter) -> Path:
    """VOBs that follow each other as one MKV in `work`, on one clock."""
    if is_encrypted(vobs):
        raise RequestError(f"{str(vobs[0])!r}: {_ENCRYPTED}")
    target = work / f"{_identity(vobs)}.mkv"
    told = _told(["-f", "mpeg", "-i", str(vobs[0])])
    arguments = ["-fflags", "+genpts", "-f", "mpeg", "-i", "pipe:0", *_sound_codecs(told)]
    total = sum(vob.stat().st_size for vob in vobs)
    with reporter.stage("remux", unit="MiB") as update:
        _remux(arguments, target, lambda pipe: _feed(vobs, pipe, total, update))
    return target


def _remux_longest(disc: Path, work: Path, reporter: Reporter) -> Path:
    titles = dict(_titles(disc))
    if not titles:
        raise RequestError(f"{str(disc)!r} holds no DVD-Video that can be read")
    title = max(titles, key=lambda number: _length_s(titles[number]))
    if len(titles) > 1:
        minutes, seconds = divmod(round(_length_s(titles[title])), 60)
        reporter.say(
            f"title {title} of {len(titles)} is the longest ({minutes}:{seconds:02}): taken"
        )
    target = work / f"{_identity([disc])}-title{title:02}.mkv"
    # Two passes over the disc: without them the chapter marks are those of its index, which
    # drift from the pictures at every break of its clock.
    arguments = [*_DVDVIDEO, "-preindex", "1", "-title", str(title), "-i", str(disc)]
    with reporter.stage("remux"):
        _remux([*arguments, *_sound_codecs(titles[title])], target)
    return target


def _titles(disc: Path) -> Iterator[tuple[int, str]]:
    """Each title's number and what FFmpeg tells of it."""
    for title in range(1, 100):
        told = _told([*_DVDVIDEO, "-title", str(title), "-i", str(disc)])
        if _length_s(told):
            yield title, told
        elif "not found" in told or "Unable to open" in told:
            return  # Any other failure is an empty title: the next may be the show.


def _told(arguments: list[str]) -> str:
    command = [program(), "-hide_banner", "-nostdin", *_LATE_STREAMS, *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stderr.decode("utf-8", "replace")


def _length_s(told: str) -> float:
    length = re.search(r"Duration: (\d+):(\d\d):(\d\d\.\d+)", told)
    return 3600 * int(length[1]) + 60 * int(length[2]) + float(length[3]) if length else 0.0


def _sound_codecs(told: str) -> list[str]:
    """A DVD's own PCM has no place in Matroska: the same samples go in as plain PCM."""
    codecs: list[str] = []
    for track, line in enumerate(re.findall(r"Stream #.*: Audio: (.*)", told)):
        if line.startswith("pcm_dvd"):
            codecs += [f"-c:a:{track}", "pcm_s16le" if ", s16" in line else "pcm_s24le"]
    return codecs


def _remux(
    arguments: list[str], target: Path, feed: Callable[[IO[bytes]], None] | None = None
) -> None:
    """Copy every picture, sound and subtitle into `target`, which appears only when whole."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    split = arguments.index("-i") + 2
    command = [program(), "-hide_banner", "-y", "-v", "error", *_LATE_STREAMS]
    command += [*arguments[:split], "-map", "0:v:0?", "-map", "0:a?", "-map", "0:s?", "-c", "copy"]
    command += [*arguments[split:], "-max_interleave_delta", "0", "-f", "matroska", str(partial)]
    try:
        with tempfile.TemporaryFile() as log:
            stdin = subprocess.PIPE if feed else subprocess.DEVNULL
            with spawned(command, stdin=stdin, stderr=log) as process:
                if feed and process.stdin:
                    with contextlib.suppress(BrokenPipeError), process.stdin:
                        feed(process.stdin)
                code = process.wait()
            log.seek(0)
            words = log.read().decode("utf-8", "replace").strip().splitlines()
        if code != 0:
            raise JobError(f"remuxing failed: {words[-1] if words else code}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _feed(vobs: list[Path], pipe: IO[bytes], total: int, update: Update) -> None:
    done = 0
    for vob in vobs:
        with vob.open("rb") as file:
            while block := file.read(512 * SECTOR):
                pipe.write(block)
                done += len(block)
                update(done / 2**20, total / 2**20)


def _title_vobs(folder: Path) -> list[Path]:
    named = (path for path in folder.iterdir() if _TITLE_VOB.match(path.name))
    return sorted(named, key=lambda path: path.name.upper())


def _has_index(folder: Path) -> bool:
    return any(path.name.upper() == "VIDEO_TS.IFO" for path in folder.iterdir())


def _largest_set(vobs: list[Path]) -> list[Path]:
    sets: dict[str, list[Path]] = {}
    for vob in vobs:
        sets.setdefault(vob.name[4:6], []).append(vob)
    return max(sets.values(), key=lambda vobs: sum(vob.stat().st_size for vob in vobs))


def _spread_sectors(path: Path, count: int) -> Iterator[bytes]:
    sectors = path.stat().st_size // SECTOR
    step = max(1, sectors // count)
    with path.open("rb") as file:
        for sector in range(0, sectors, step):
            file.seek(sector * SECTOR)
            yield file.read(SECTOR)


def _scrambled(sector: bytes) -> bool:
    """True where the sector is a pack whose first packet is a scrambled sound or picture."""
    if sector[:4] != _PACK or len(sector) < SECTOR:
        return False
    packet = 14 + (sector[13] & 7)  # the pack header's own stuffing bytes
    stream = sector[packet + 3]
    if sector[packet : packet + 3] != _START or not (stream == 0xBD or 0xC0 <= stream <= 0xEF):
        return False
    flags = sector[packet + 6]
    return flags >> 6 == 0b10 and flags >> 4 & 0b11 != 0


def _identity(paths: list[Path]) -> str:
    """A short name that changes when the files do, so that a finished remux can be used again."""
    known = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return "source-" + hashlib.sha256(repr(known).encode()).hexdigest()[:12]
