"""Turns what a user names into one file that can be read frame by frame.

A media file is read where it lies. What has no single clock is remuxed first, without loss, into
the work folder: a DVD (its longest title, through FFmpeg's `dvdvideo` demuxer, which keeps the
chapters), and VOB files, whose timestamps may start again at every cell. Nothing is written
beside the source.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from encore import disc
from encore.errors import RequestError
from encore.facts import Chapter
from encore.progress import Reporter

__all__ = ["Source", "open_source"]

_TITLE_SET_VOB = re.compile(r"(?i)^VTS_(\d\d)_([1-9])\.VOB$")


@dataclass(frozen=True)
class Source:
    """A recording, ready to be read."""

    named: str
    """What the user gave."""
    media: Path
    """The file that is read."""
    chapters: list[Chapter] | None = None
    """Chapters to use in place of the media's own; None where the media's are right."""
    remuxed: bool = False
    """True where `media` is a lossless remux in the work folder."""
    originals: tuple[Path, ...] = ()
    """The files that were given, whose content says whether this is the same recording."""


def open_source(path: str | Path, work: Path, reporter: Reporter) -> Source:
    """Find out what `path` is, and remux it into `work` where it must be.

    Takes a media file, a VOB (`VTS_xx_1.VOB` brings the VOBs that follow it), a `VIDEO_TS` folder
    or the folder that holds it, or a DVD image. Raises RequestError where there is no such thing,
    where it is empty, or where it is an encrypted disc.
    """
    given = Path(path)
    try:
        found = given.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"cannot open {str(path)!r}: {reason}") from error
    given = given.absolute()
    if stat.S_ISDIR(found.st_mode):
        return _from_folder(path, given, work, reporter)
    if not stat.S_ISREG(found.st_mode):
        raise RequestError(f"cannot open {str(path)!r}: it is neither a file nor a folder")
    if found.st_size == 0:
        raise RequestError(f"{str(path)!r} is empty")
    try:
        head = disc.image_kind(given)
    except OSError as error:
        raise RequestError(f"cannot open {str(path)!r}: {error.strerror}") from error
    if head:
        media = disc.remux_title(given, work, reporter)
        return Source(str(path), media, remuxed=True, originals=(given,))
    if disc.is_program_stream_of_a_disc(given):
        vobs = _following(given, reporter)
        media = disc.remux_vobs(vobs, work, reporter)
        return Source(str(path), media, remuxed=True, originals=tuple(vobs))
    return Source(str(path), given, originals=(given,))


def _from_folder(path: str | Path, folder: Path, work: Path, reporter: Reporter) -> Source:
    video_ts = disc.video_ts(folder)
    if video_ts is None:
        raise RequestError(
            f"{str(path)!r} is a folder but no DVD (it holds no VIDEO_TS); give a file, a VIDEO_TS "
            "folder or a disc image"
        )
    files = tuple(sorted(inside for inside in video_ts.iterdir() if inside.is_file()))
    media = disc.remux_folder(video_ts, work, reporter)
    return Source(str(path), media, remuxed=True, originals=files)


def _following(vob: Path, reporter: Reporter) -> list[Path]:
    """The VOBs that continue the first one of a title set, in their order."""
    named = _TITLE_SET_VOB.match(vob.name)
    if not named or named[2] != "1":
        return [vob]
    by_number = {
        int(match[2]): beside
        for beside in vob.parent.iterdir()
        if (match := _TITLE_SET_VOB.match(beside.name)) and match[1] == named[1]
    }
    by_number[1] = vob
    run = [vob]
    while len(run) + 1 in by_number:
        run.append(by_number[len(run) + 1])
    if len(run) > 1:
        reporter.say(f"read as one recording: {run[0].name} to {run[-1].name}")
    return run
