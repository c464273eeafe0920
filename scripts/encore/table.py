"""A scan for people: grouped tables for one recording, or one row for each of several."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from encore.facts import Borders, ColourFact, PictureFacts, Scan, SoundFacts

__all__ = ["HEADINGS", "one_line", "show"]

HEADINGS = ("file", "picture", "rate", "structure", "borders", "colour", "cuts", "sound", "damage")
"""The columns of `one_line`."""

_FIRST_DAMAGES = 5
_USUAL_ASPECTS = {Fraction(16, 9): "16:9", Fraction(4, 3): "4:3", Fraction(1): "1:1"}


def show(scan: Scan, console: Console, more: Sequence[tuple[str, str]] = ()) -> None:
    """Print what was found, group by group, and `more` rows; reads well at 100 columns."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in [*_rows(scan), *more]:
        table.add_row(name, Text(text))
    console.print(table)


def one_line(scan: Scan) -> tuple[str, ...]:
    """One row under HEADINGS."""
    picture = scan.picture
    if picture is None:
        figures: tuple[str, ...] = ("none", "", "", "", "", "")
    else:
        figures = (
            f"{picture.width}x{picture.height} {_ratio(picture.sample_aspect)}",
            f"{_rate(picture.rate)}{'' if picture.rate_constant else ' *'}",
            f"{picture.structure}{f', {picture.field_order}' if picture.field_order else ''} "
            f"({picture.structure_confidence:.0%}; flagged {picture.flagged})",
            _borders(picture.borders, "-"),
            f"{picture.matrix.value}{_mark(picture.matrix)}",
            str(len(picture.cuts)),
        )
    sound = "; ".join(_short_sound(one) for one in scan.sound) or "none"
    return (Path(scan.source).name, *figures, sound, str(len(scan.damage) or "-"))


def _rows(scan: Scan) -> list[tuple[str, str]]:
    rows = [
        ("recording", scan.source),
        ("container", f"{scan.container}, {_clock(scan.duration_s)}, {_size(scan.size_bytes)}"),
    ]
    if scan.title:
        rows.append(("title", scan.title))
    rows += _picture_rows(scan.picture) if scan.picture else [("picture", "none")]
    rows += [row for one in scan.sound for row in _sound_rows(one)] or [("sound", "none")]
    others = [s for s in scan.streams if s.kind not in ("video", "audio")]
    for stream in others:
        words = [stream.codec, stream.language or "", f"“{stream.title}”" if stream.title else ""]
        rows.append((f"{stream.kind} {stream.index}", " ".join(word for word in words if word)))
    rows.append(("chapters", str(len(scan.chapters)) if scan.chapters else "none"))
    first = scan.damage[:_FIRST_DAMAGES]
    count = len(scan.damage)
    rows.append(("damage", f"{count} place{'s' if count > 1 else ''}" if count else "none found"))
    rows += [("", f"{'?' if d.at_s is None else f'{d.at_s:.2f} s'}: {d.what}") for d in first]
    if count > len(first):
        rows.append(("", f"and {count - len(first)} more"))
    if not scan.full:
        rows.append(("", "sampled; --full reads everything"))
    return rows


def _picture_rows(picture: PictureFacts) -> list[tuple[str, str]]:
    guessed = "" if picture.sample_aspect_tagged else " (guessed)"
    order = f", {picture.field_order} field first" if picture.field_order else ""
    soft = f"; {picture.pulldown} pulldown" if picture.pulldown != "none" else ""
    colour = ("matrix", "transfer", "primaries", "range", "chroma_location")
    facts: list[ColourFact] = [getattr(picture, name) for name in colour]
    return [
        (
            f"picture {picture.stream}",
            f"{picture.width} x {picture.height} {picture.pixel_format} {picture.codec}, pixels "
            f"{_ratio(picture.sample_aspect)}{guessed}, shown {_ratio(picture.display_aspect)}",
        ),
        (
            "rate",
            f"{_rate(picture.rate)} frames a second, "
            f"{'constant' if picture.rate_constant else 'not constant'}: {picture.rate_why}; "
            f"{picture.frames} frames from {picture.start_s:.3f} s",
        ),
        (
            "structure",
            f"{picture.structure}{order}{soft} (flagged {picture.flagged}); "
            f"{picture.structure_why}",
        ),
        ("borders", _borders(picture.borders, "none")),
        (
            "colour",
            "; ".join(
                f"{name.replace('_', ' ')} {fact.value}{_mark(fact)}"
                for name, fact in zip(colour, facts, strict=True)
            ),
        ),
        *[("", f"({why})") for why in dict.fromkeys(f.why for f in facts if not f.tagged)],
        ("cuts", f"{len(picture.cuts)} in {picture.examined_frames} frames looked at"),
    ]


def _sound_rows(sound: SoundFacts) -> list[tuple[str, str]]:
    words = [
        sound.codec,
        f"{sound.rate_hz} Hz",
        sound.layout,
        sound.language or "",
        f"“{sound.title}”" if sound.title else "",
        f"{_clock(sound.duration_s)} from {sound.start_s:.3f} s",
        "default" if sound.default else "",
    ]
    rows = [(f"sound {sound.stream}", ", ".join(word for word in words if word))]
    measured = []
    if sound.loudness_lufs is not None:
        measured.append(f"{sound.loudness_lufs:.1f} LUFS")
    if sound.loudness_range_lu is not None:
        measured.append(f"range {sound.loudness_range_lu:.1f} LU")
    if sound.true_peak_dbtp is not None:
        measured.append(f"true peak {sound.true_peak_dbtp:+.1f} dBTP")
    if sound.clipped_samples is not None:
        measured.append(f"{sound.clipped_samples} clipped samples")
    if sound.hum is not None:
        measured.append(f"hum at {sound.hum.mains_hz:g} Hz, {sound.hum.level_dbfs:.0f} dBFS")
    if sound.clicks_per_minute is not None:
        measured.append(f"{sound.clicks_per_minute:.0f} clicks a minute")
    if sound.noise_dbfs is not None:
        measured.append(f"hiss of {sound.noise_dbfs:.0f} dBFS")
    if sound.azimuth_samples is not None:
        measured.append(f"channels {sound.azimuth_samples:+.2f} samples apart")
    if sound.inverted:
        measured.append("one channel upside down")
    if sound.dead_channel is not None:
        measured.append(f"channel {sound.dead_channel + 1} dead")
    if sound.bandwidth_hz is not None:
        measured.append(f"cut off at {sound.bandwidth_hz / 1000:.1f} kHz")
    if measured:
        rows.append(("", f"{', '.join(measured)} (over {_clock(sound.measured_s)})"))
    return rows


def _short_sound(sound: SoundFacts) -> str:
    loud = "" if sound.loudness_lufs is None else f" {sound.loudness_lufs:.1f} LUFS"
    return f"{sound.codec} {sound.layout}{loud}"


def _borders(borders: Borders, none: str) -> str:
    sides = [(name, getattr(borders, name)) for name in ("left", "right", "top", "bottom")]
    return ", ".join(f"{name} {size}" for name, size in sides if size) or none


def _mark(fact: ColourFact) -> str:
    return "" if fact.tagged else "?"


def _ratio(value: Fraction) -> str:
    return _USUAL_ASPECTS.get(value) or f"{value.numerator}:{value.denominator}"


def _rate(rate: Fraction) -> str:
    if rate.denominator == 1:
        return str(rate.numerator)
    return f"{rate.numerator}/{rate.denominator} ({float(rate):.3f})"


def _size(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.2f} MiB"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:05.2f}"
