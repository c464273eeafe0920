"""A page of what was heard and done: one HTML file without scripts, for any browser."""

import html
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .error import SoundError
from .plots import Line, chart, picture
from .report import MasterReport
from .spectrogram import Spectrogram
from .spectrum import BANDS_HZ
from .trace import History

__all__ = ["Seen", "write_page"]

_STYLE = """
:root{--ink:#1b1d22;--quiet:#6b7280;--rule:#e2e4e9;--paper:#fff;--before:#8a8f99;--after:#1f6feb;
--mark:#c2410c}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaee;--quiet:#9aa1ad;--rule:#2c3038;
--paper:#15171b;--before:#8a8f99;--after:#6cb0ff;--mark:#fb923c}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:2rem 0 .3rem}
p{margin:.3rem 0;color:var(--quiet)}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--rule);
font-variant-numeric:tabular-nums}th{font-weight:500;color:var(--quiet)}
figure{margin:.2rem 0 1rem}figcaption{min-height:1.2em}svg{width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--quiet)}
.grid{stroke:var(--rule);fill:none}.line{fill:none;stroke-width:1.6}
.line.after{stroke:var(--after)}.line.before{stroke:var(--before)}
.level{stroke:var(--mark);stroke-dasharray:5 4;fill:none}
.mark{stroke:var(--mark);stroke-width:.8;opacity:.5;fill:none}
.key{margin-right:1.2rem;color:var(--quiet)}
.key.after::before,.key.before::before{content:"";display:inline-block;width:1.4em;height:3px;
margin-right:.4em;vertical-align:middle;background:var(--after)}
.key.before::before{background:var(--before)}
"""
_FLOOR_LUFS = -60.0


@dataclass(frozen=True)
class Seen:
    """The spectrograms of a page: of the source, and of the master."""

    before: Spectrogram | None
    after: Spectrogram | None


def write_page(path: Path, report: MasterReport, seen: Seen) -> None:
    """Write the page; under its name it is whole. Raises SoundError where it cannot be written."""
    name = html.escape(Path(report.source).name)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{name}: sound</title><style>{_STYLE}</style></head><body>",
        f"<h1>{name}</h1>",
        f"<p>{_clock(report.duration_s)}, {report.channels} channels at "
        f"{report.sample_rate_hz} Hz, {report.subtype}</p>",
        _levels(report),
        _repairs(report),
        _loudness(report),
        _limiter(report.histories.limiter, report),
        _spectrograms(seen),
        _noise(report),
        _hum(report),
        _clicks(report),
        _tone(report),
        _songs(report),
        _alignment(report),
        "</body></html>",
    ]
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text("\n".join(one for one in parts if one), encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise SoundError(f"{path} cannot be written: {error.strerror}") from error


def _levels(report: MasterReport) -> str:
    def row(name: str, unit: str, pick: str) -> list[str]:
        before, after = (getattr(levels, pick) for levels in (report.before, report.after))
        return [name, _number(before, unit), _number(after, unit)]

    rows = [
        row("Integrated loudness", "LUFS", "integrated_lufs"),
        row("Loudness range", "LU", "range_lu"),
        row("Loudest 3 s", "LUFS", "short_term_max_lufs"),
        row("Loudest 0.4 s", "LUFS", "momentary_max_lufs"),
        row("True peak", "dBTP", "true_peak_dbtp"),
    ]
    said = f"One gain of {report.gain_db:+.2f} dB"
    if report.limited_s:
        said += f"; the limiter took up to {report.limiting_max_db:.1f} dB"
        said += f", for {report.limited_s:.1f} s in all"
    if report.opinion and report.opinion.integrated_lufs is not None:
        said += f". By pyloudnorm the master has {report.opinion.integrated_lufs:.2f} LUFS"
    return f"<h2>Levels</h2>{_table(['', 'before', 'after'], rows)}<p>{said}.</p>"


def _repairs(report: MasterReport) -> str:
    rows = [[done.name, f"{done.amount:g}", done.did] for done in report.repairs]
    if not rows:
        return "<h2>Repairs</h2><p>Nothing was repaired.</p>"
    return f"<h2>Repairs</h2>{_table(['what', 'amount', 'what it did'], rows)}"


def _loudness(report: MasterReport) -> str:
    lines = [
        _over_time(name, history, shade)
        for name, history, shade in (
            ("before", report.histories.before, "before"),
            ("after", report.histories.after, "after"),
        )
        if history and history.values
    ]
    if not lines:
        return ""
    loud = max(float(np.nanmax(line.y, initial=_FLOOR_LUFS)) for line in lines)
    high = min(0.0, 5 * np.ceil(loud / 5) + 5)
    target = report.recipe.mastering.target_lufs
    drawn = chart(lines, "LUFS", low=max(_FLOOR_LUFS, high - 45), high=high, level=target)
    return f"<h2>Short-term loudness</h2>{drawn}"


def _over_time(name: str, history: History, shade: str) -> Line:
    values = np.array(history.values, dtype=np.float64)
    at = np.linspace(0.5, max(0.5, len(values) - 0.5), len(values)) * history.step_s
    return Line(name, at, np.where(values > -100, values, np.nan), shade)


def _limiter(history: History | None, report: MasterReport) -> str:
    if history is None or not report.limited_s:
        return ""
    line = _over_time("", history, "after")
    high = max(1.0, float(np.ceil(line.y.max())))
    drawn = chart([line], "dB", low=0.0, high=high)
    return f"<h2>What the limiter took away</h2>{drawn}"


def _spectrograms(seen: Seen) -> str:
    pictures = [
        (name, one)
        for name, one in (("before", seen.before), ("after", seen.after))
        if one is not None and one.level_db.size
    ]
    if not pictures:
        return ""
    drawn = [picture(name, one, float(one.level_db.max())) for name, one in pictures]
    return (
        "<h2>Spectrograms</h2><p>Each shows 90 dB from its own loudest point down.</p>"
        + "".join(drawn)
    )


def _noise(report: MasterReport) -> str:
    noise = report.findings.noise
    if noise is None or max(noise.level_dbfs) == -np.inf:
        return ""
    hertz = np.array(noise.frequencies_hz)
    lines = [
        Line(f"channel {channel + 1}", hertz, np.array(density), shade)
        for channel, (density, shade) in enumerate(
            zip(noise.density_db[:2], ("after", "before"), strict=False)
        )
    ]
    finite = np.concatenate([line.y[np.isfinite(line.y)] for line in lines])
    if not len(finite):
        return ""
    high = 10 * np.ceil(float(finite.max()) / 10) + 10
    drawn = chart(lines, "dBFS/Hz", low=high - 60, high=high, log_hz=True)
    return f"<h2>The noise that was found</h2>{drawn}"


def _hum(report: MasterReport) -> str:
    hum = report.findings.hum
    if hum is None:
        return ""
    rows = [
        [f"{n}", f"{n * hum.frequency_hz:.2f} Hz", _number(level, "dBFS")]
        for n, level in enumerate(hum.levels_dbfs, 1)
        if n in hum.harmonics
    ]
    return (
        f"<h2>Hum</h2><p>{hum.frequency_hz:.3f} Hz, {hum.level_dbfs:.1f} dBFS in all.</p>"
        + _table(["multiple", "frequency", "level"], rows)
    )


def _clicks(report: MasterReport) -> str:
    if not report.clicks:
        return ""
    bins = 200
    step = max(report.duration_s / bins, 1e-3)
    at = np.array([click.at_s for click in report.clicks])
    counts, _ = np.histogram(at, bins=bins, range=(0.0, step * bins))
    line = Line("", np.linspace(step / 2, step * (bins - 0.5), bins), counts * 1.0, "after")
    high = float(max(4, counts.max()))
    drawn = chart([line], "clicks", low=0.0, high=high)
    return f"<h2>Clicks, in every {step:.3g} s</h2>{drawn}"


def _tone(report: MasterReport) -> str:
    if report.tone is None:
        return ""
    hertz = np.array(BANDS_HZ)
    lines = [
        Line("mid", hertz, np.array(report.tone.mid_db), "after"),
        Line("side", hertz, np.array(report.tone.side_db), "before"),
    ]
    return f"<h2>Tone</h2>{chart(lines, 'dB', low=-9.0, high=9.0, log_hz=True)}"


def _songs(report: MasterReport) -> str:
    if len(report.songs) < 2:
        return ""
    offsets = report.song_offsets_db or (0.0,) * len(report.songs)
    rows = [
        [f"{n}", _clock(song.from_s), _clock(song.to_s), f"{song.lufs:.1f}", f"{offset:+.1f}"]
        for n, (song, offset) in enumerate(zip(report.songs, offsets, strict=True), 1)
    ]
    return f"<h2>Songs</h2>{_table(['', 'from', 'to', 'LUFS', 'moved by dB'], rows)}"


def _alignment(report: MasterReport) -> str:
    found = report.alignment
    if found is None:
        return ""
    rows = [
        ["offset", f"{found.offset_s:+.4f} s"],
        ["clock", f"{found.drift_ppm:+.1f} parts in a million"],
        ["single measurements lie off by", f"{found.residual_ms:.3f} ms"],
        ["seconds in which both clearly agree", f"{100 * found.confidence:.0f} %"],
        ["stretches without this recording", f"{len(found.gaps)}"],
        ["cuts", f"{len(found.edits)}"],
    ]
    return f"<h2>Put on the reference's clock</h2>{_table(['', ''], rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.1f} {unit}"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
