"""How near each method comes to the truth: judged SD recordings remastered, and measured.

    sh scripts/run python scripts/bench/picture.py [--quick | --progressive]
        [--weights NAME_OR_FILE ...] [--alone] [--moments 24] [--device auto] [--seconds 4]
        [--json FILE] [--sheets DIR]

`judged` makes the recordings, `methods` runs each method in a process of its own, `metrics` holds
the result to the truth at the truth's size, in the recording's own matrix. Printed are a table a
case, the means, what ours gains over the peers, how flashes fare, and what the gentlest preset
does to a picture that needs nothing. "core ms" is the processor time of a frame, which tells the
same on a machine that others use; frames a second do not. No encoder takes part.

A flash's picture is another one: brighter, so that its detail, and what is lost of it, is more in
codes. So its error is also held to what SD alone costs the same moments, and with `--alone` to what
the same network makes of each moment without its neighbours, which a window must not fall behind.
"""

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import judged
import methods
import metrics
import sheets
import vapoursynth as vs
from metrics import Film

from encore.ffmpeg import last_words
from vsencore.nets.bundled import bundled
from vsencore.nets.restorer import Kind

__all__: list[str] = []

DROP = 3
STRONGEST = "qtgmc + degrain + nnedi3"
CONTROL = "(SD alone, no damage)"
_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]

type Row = dict[str, float]


@dataclass(frozen=True)
class Column:
    """A figure of the tables: whether more is better, and how it is written."""

    key: str
    head: str
    digits: int
    sign: int = 1


QUALITY = (
    Column("psnr_y", "PSNR-Y", 2),
    Column("psnr_uv", "PSNR-UV", 2),
    Column("ssim", "SSIM", 4),
    Column("vmaf", "VMAF", 1),
    Column("vmaf_neg", "VMAF-NEG", 1),
    Column("temporal", "temporal", 2),
)
COST = (
    Column("fps", "fps", 2),
    Column("core_s", "core ms", 0, -1),
    Column("peak_mib", "peak MiB", 0, -1),
    Column("device_mib", "device", 0, -1),
)


@dataclass(frozen=True)
class Method:
    """What is asked of `methods`: one of the peers, `remaster` or `alone` with weights."""

    name: str
    call: str
    weights: str | None = None

    @property
    def ours(self) -> bool:
        """Whether it is ours."""
        return self.call == "remaster"

    @property
    def peer(self) -> bool:
        """Whether it is what others have."""
        return self.weights is None


@dataclass
class Result:
    """What came of a case: a row a method, and luma's squared errors by moment and by phase."""

    case: judged.Case
    about: dict[str, Any]
    rows: dict[str, Row] = field(default_factory=dict)
    phases: dict[str, dict[str, float]] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)


def main() -> int:
    """Run everything; the exit code."""
    given = _arguments()
    data = judged.data_folder()
    cases = judged.PROGRESSIVE if given.progressive else judged.CASES
    chosen = [
        case
        for case in cases
        if not (given.case or given.quick) or case.name in (given.case or judged.QUICK)
    ]
    names, notes = methods.available(data / "peers")
    wanted = [name for name in names if given.peer is None or name in given.peer]
    asked = [Method(name, name) for name in wanted] + _ours(
        given.weights, "frames" if given.progressive else "fields", given.alone
    )
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"{vs.core.num_threads} threads, device {given.device}; {given.moments} moments a case,")
    print(f"the first and last {DROP} not judged; {len(chosen)} cases, {len(asked)} methods\n")
    results = []
    for case in chosen:
        try:
            result = _judge(case, asked, given, data, notes)
        except FileNotFoundError as error:
            notes.append(f"{case.name} is left out: {error}")
            continue
        results.append(result)
        _case_table(result)
    if not results:
        print("\n".join(notes))
        return 1
    _means(results, asked)
    _strobes(results)
    harm = None if given.no_harm else _harm(given, data, notes)
    for note in dict.fromkeys(notes):
        print(f"* {note}")
    if given.json:
        cases = [
            {"about": r.about, "methods": r.rows, "strobe": r.phases, "errors": r.errors}
            for r in results
        ]
        whole = {"device": given.device, "cases": cases, "harm": harm, "notes": notes}
        given.json.write_text(json.dumps(whole, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="three cases instead of all")
    parser.add_argument(
        "--progressive", action="store_true", help="progressive recordings: nothing to deinterlace"
    )
    parser.add_argument("--case", action="append", help="only this one; may be repeated")
    parser.add_argument("--weights", action="append", help="ours: a name or a file; repeatable")
    parser.add_argument("--alone", action="store_true", help="ours without neighbours besides")
    parser.add_argument("--peer", action="append", help="only this peer; may be repeated")
    parser.add_argument("--moments", type=int, default=24, help="of each case; even, 12 to 24")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=4, help="timed, a method a case; 0: none")
    parser.add_argument("--no-harm", action="store_true", help="leave out the do-no-harm row")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--sheets", type=Path, help="write crops side by side into this folder")
    given = parser.parse_args()
    if given.moments % 2 or not 12 <= given.moments <= 24:
        parser.error(f"--moments must be even, 12 to 24, not {given.moments}")
    names = {case.name for case in (judged.PROGRESSIVE if given.progressive else judged.CASES)}
    if given.progressive and given.quick:
        parser.error("--quick is of the interlaced cases")
    if given.case and not set(given.case) <= names:
        parser.error(f"--case must be one of {', '.join(sorted(names))}")
    if given.peer and not set(given.peer) <= set(methods.PEERS):
        parser.error(f"--peer must be one of {', '.join(methods.PEERS)}")
    return given


def _ours(weights: Sequence[str] | None, kind: Kind, alone: bool) -> list[Method]:
    """Ours by the weights that were asked for; by default by all of a kind that ship."""
    chosen = weights or [name for name, of in bundled() if of == kind]
    ours = [Method(methods.OURS + _stem(one), "remaster", one) for one in chosen]
    if alone:
        ours += [Method(methods.ALONE + _stem(one), "alone", one) for one in chosen]
    return ours


def _stem(weights: str) -> str:
    return Path(weights).stem if weights.endswith(".safetensors") else weights


def _judge(
    case: judged.Case,
    asked: Iterable[Method],
    given: argparse.Namespace,
    data: Path,
    notes: list[str],
) -> Result:
    """Make a case, run all methods on it and measure them; results are kept only as figures."""
    with tempfile.TemporaryDirectory(prefix="encore-bench-") as place:
        folder = Path(place)
        judged.make(case, given.moments, data, folder)
        about = json.loads((folder / "about.json").read_text())
        size = about["width"], about["height"]
        truth = Film(folder / "truth.yuv", *size)
        levels = [float(picture.mean()) for picture in truth.planes()[0]]
        result = Result(case, about)
        split = metrics.phases(levels) if case.light == "strobe" else {}
        about["phases"] = split
        if split:
            out = Film(folder / "control.yuv", *size)
            width, lines = 720, 576 if case.system == "pal" else 480
            moments = list(zip(*truth.planes(), strict=True))
            matrix = 5 if case.system == "pal" else 6
            methods.write(methods.undamaged(moments, width, lines, matrix), out.path)
            pairs = list(zip(out.planes()[0], truth.planes()[0], strict=True))
            errors = [metrics.squared(*pair) for pair in pairs[DROP : len(pairs) - DROP]]
            result.phases[CONTROL] = _by_phase(errors, split)
        spot = sheets.find(truth, _telling(split, given.moments))
        pictures = []
        if given.sheets:
            methods.write(methods.bob(folder), folder / "bob.yuv")
            pictures.append(
                ("the recording, fields", sheets.crop(Film(folder / "bob.yuv", *size), spot))
            )
        for method in asked:
            out = Film(folder / "result.yuv", *size)
            try:
                cost = _run(method, folder, out.path, given, data)
                figures = asdict(metrics.compare(out, truth, DROP))
            except (RuntimeError, ValueError) as error:
                notes.append(f"{method.name} failed on {case.name}: {error}")
                continue
            errors = figures.pop("errors")
            result.rows[method.name] = figures | cost
            result.phases[method.name] = _by_phase(errors, split)
            result.errors[method.name] = errors
            if given.sheets:
                label = f"{method.name}  {figures['psnr_y']:.2f} dB, NEG {figures['vmaf_neg']:.1f}"
                pictures.append((label, sheets.crop(out, spot)))
        if given.sheets:
            pictures.append(("the truth", sheets.crop(truth, spot)))
            given.sheets.mkdir(parents=True, exist_ok=True)
            title = f"{_title(case)}; moment {spot.moment}, at {spot.left}, {spot.top}"
            path = given.sheets / f"{case.name.replace(' ', '_')}.png"
            sheets.sheet(pictures, title).save(path)
    return result


def _run(method: Method, folder: Path, out: Path, given: argparse.Namespace, data: Path) -> Row:
    """Run a method in a process of its own; what it cost. Raises RuntimeError where it fails."""
    command = [sys.executable, str(_HERE / "methods.py"), str(folder), method.call]
    command += ["--out", str(out), "--seconds", str(given.seconds), "--device", given.device]
    command += ["--peers", str(data / "peers")]
    if method.weights is not None:
        command += ["--weights", method.weights]
    told: Row = _child(command)
    return told


def _child(command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(last_words(done.stderr))
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _telling(split: dict[str, list[int]], moments: int) -> int:
    """The moment to look at: just after a flash, where ghosts show; else the middle."""
    middle = moments // 2
    after = [n for n in split.get("after", []) if DROP <= n < moments - DROP]
    return min(after, key=lambda n: abs(n - middle)) if after else middle


def _by_phase(errors: Sequence[float], split: dict[str, list[int]]) -> dict[str, float]:
    """Mean squared errors of the judged moments, flash, after and calm."""
    found = {}
    for phase, moments in split.items():
        judged_errors = [errors[n - DROP] for n in moments if 0 <= n - DROP < len(errors)]
        if judged_errors:
            found[phase] = sum(judged_errors) / len(judged_errors)
    return found


def _title(case: judged.Case) -> str:
    made = " (its motion is made)" if case.clip == judged.PHOTOS else ""
    return f"{case.name}{made}: {case.system}, {case.light} light, {case.damage} damage"


def _head(first: str, columns: Sequence[Column]) -> str:
    return f"{first:<30}" + "".join(f"{column.head:>10}" for column in columns)


def _line(name: str, row: Row, columns: Sequence[Column], signed: bool = False) -> str:
    cells = []
    for column in columns:
        value = row.get(column.key, math.nan)
        value = value * 1000 if column.key == "core_s" else value
        sign = "+" if signed else ""
        cells.append(
            f"{value:>{sign}10.{column.digits}f}" if math.isfinite(value) else f"{'-':>10}"
        )
    return f"  {name:<28}" + "".join(cells)


def _shown(rows: Iterable[Row]) -> tuple[Column, ...]:
    """The columns that say something: no device's memory where there is no device."""
    rows = list(rows)
    return QUALITY + tuple(
        column for column in COST if any(row.get(column.key, 0) > 0 for row in rows)
    )


def _case_table(result: Result) -> None:
    recipe = result.about["recipe"]
    size = f"{result.about['width']}x{result.about['height']}"
    print(f"{_title(result.case)}; {recipe['codec']} {recipe['kbps']} kb/s to {size}")
    columns = _shown(result.rows.values())
    print(_head("", columns))
    for name, row in result.rows.items():
        print(_line(name, row, columns))
    print(flush=True)


def _means(results: Sequence[Result], asked: Sequence[Method]) -> None:
    """Means over the cases that all methods finished, and ours against the peers."""
    names = [method.name for method in asked if any(method.name in r.rows for r in results)]
    whole = [r for r in results if all(name in r.rows for name in names)]
    if not whole:
        return
    means = {name: _mean([r.rows[name] for r in whole]) for name in names}
    columns = _shown(means.values())
    print(_head(f"means of {len(whole)} cases", columns))
    for name in names:
        print(_line(name, means[name], columns))
    peers = [method.name for method in asked if method.name in names and method.peer]
    for method in asked:
        if method.ours and method.name in names and peers:
            _gains(method.name, peers, whole)
    print()


def _gains(ours: str, peers: Sequence[str], whole: Sequence[Result]) -> None:
    if STRONGEST in peers:
        print(f"{ours} over {STRONGEST}")
        over = [_over(r.rows[ours], r.rows[STRONGEST]) for r in whole]
        print(_line("mean", _mean(over), QUALITY, signed=True))
        paces = [
            r.rows[ours]["fps"] / r.rows[STRONGEST]["fps"] for r in whole if "fps" in r.rows[ours]
        ]
        if paces:
            print(f"  {'speed':<28}{sum(paces) / len(paces):>10.2f} times")
    print(f"{ours} over the best peer of each case and figure")
    over = [_over(r.rows[ours], _best([r.rows[name] for name in peers])) for r in whole]
    print(_line("mean", _mean(over), QUALITY, signed=True))
    worst = {c.key: min(range(len(over)), key=lambda n: over[n][c.key]) for c in QUALITY}
    least = {key: over[n][key] for key, n in worst.items()}
    print(_line("worst case", least, QUALITY, signed=True))
    cells = "".join(f"{whole[worst[c.key]].case.name:>10}" for c in QUALITY)
    print(f"  {'':<28}{cells}")


def _mean(rows: Sequence[Row]) -> Row:
    keys = [key for key in rows[0] if all(key in row for row in rows)]
    return {key: sum(row[key] for row in rows) / len(rows) for key in keys}


def _best(rows: Sequence[Row]) -> Row:
    return {c.key: max(row[c.key] for row in rows) for c in QUALITY}


def _over(row: Row, other: Row) -> Row:
    return {c.key: row[c.key] - other[c.key] for c in QUALITY}


def _strobes(results: Sequence[Result]) -> None:
    """PSNR-Y in flashes and in the two moments after one, against the calm moments."""
    lit = [r for r in results if all("flash" in p and "calm" in p for p in r.phases.values())]
    lit = [r for r in lit if r.phases]
    if not lit:
        return
    print("strobes, PSNR-Y: the flash's moments, the two after one, the others")
    print(f"{'':<30}{'calm':>10}{'flash':>10}{'after':>10}{'flash-calm':>12}{'after-calm':>12}")
    for result in lit:
        counts = ", ".join(f"{len(n)} {name}" for name, n in result.about["phases"].items())
        print(f"{_title(result.case)}; moments: {counts}")
        for name, phases in result.phases.items():
            _strobe_line(name, {key: metrics.decibels(value) for key, value in phases.items()})
        _fairly(result)
    if len(lit) > 1:
        print("mean of these cases")
        for name in lit[0].phases:
            rows = [r.phases[name] for r in lit if name in r.phases]
            _strobe_line(
                name, _mean([{k: metrics.decibels(v) for k, v in row.items()} for row in rows])
            )
    print()


def _fairly(result: Result) -> None:
    """What ours gains over SD alone, and over the frame alone: a phase, and a lit moment each."""
    for name in (name for name in result.phases if name.startswith(methods.OURS)):
        stem = name.removeprefix(methods.OURS)
        _strobe_line(f"{stem} over SD alone", _gained(result, name, CONTROL))
        alone = methods.ALONE + stem
        if alone not in result.phases:
            continue
        _strobe_line(f"{stem} over itself alone", _gained(result, name, alone))
        gains = _gains_by_moment(result.errors[name], result.errors[alone])
        for phase in ("flash", "after"):
            moments = [n for n in result.about["phases"][phase] if n in gains]
            told = ", ".join(f"{n}: {gains[n]:+.2f}" for n in moments)
            print(f"    moments {phase}, over itself alone: {told}")


def _gained(result: Result, name: str, over: str) -> Row:
    one, other = result.phases[name], result.phases[over]
    return {key: metrics.decibels(one[key]) - metrics.decibels(other[key]) for key in one}


def _gains_by_moment(errors: Sequence[float], over: Sequence[float]) -> dict[int, float]:
    pairs = zip(errors, over, strict=True)
    return {
        n: metrics.decibels(one) - metrics.decibels(other)
        for n, (one, other) in enumerate(pairs, DROP)
    }


def _strobe_line(name: str, level: Row) -> None:
    cells = "".join(f"{level.get(phase, math.nan):>10.2f}" for phase in ("calm", "flash", "after"))
    gaps = "".join(
        f"{level.get(one, math.nan) - level['calm']:>+12.2f}" for one in ("flash", "after")
    )
    print(f"  {name:<28}{cells}{gaps}")


def _harm(given: argparse.Namespace, data: Path, notes: list[str]) -> Row | None:
    """The do-no-harm row: `gentle` on a clean clip of full size."""
    clip = data / "clips" / "room_people_1080p.mp4"
    if not clip.exists():
        notes.append(f"the do-no-harm row is left out: {clip} is not there")
        return None
    folder = Path(tempfile.mkdtemp(prefix="encore-bench-"))
    try:
        command = [sys.executable, str(_HERE / "harm.py"), str(clip), str(folder)]
        told = _child([*command, "--device", given.device])
        size = told["width"], told["height"]
        out, before = Film(folder / "output.yuv", *size), Film(folder / "input.yuv", *size)
        figures = asdict(metrics.compare(out, before, 0))
    except (RuntimeError, ValueError) as error:
        notes.append(f"the do-no-harm row failed: {error}")
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures.pop("errors")
    print(_head("do no harm", QUALITY))
    print(_line("gentle, room_people_1080p", figures, QUALITY))
    print("  " + "\n  ".join(told["calls"]))
    return figures


if __name__ == "__main__":
    sys.exit(main())
