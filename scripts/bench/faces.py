"""What `faces` does to faces, measured where the truth is known.

    sh scripts/run python scripts/bench/faces.py [--quick] [--moments 24] [--out FOLDER]
        [--keep FOLDER] [--device auto]

Judged recordings with faces in them (see `judged`) are remastered by the base network, once, and
finished with and without `faces(method="detail")`. Four of the small faces that the clips have are
put side by side in one picture, so that a recording of it has faces of 30 to 50 lines, as a stage
show in SD has. The tracks are made from the remastered clip, as a scan would.

Of each face's head (the filter's own mask) is printed: PSNR of luma; the mean VMAF-NEG of a crop
about it; the structure score, that is the least correlation with the truth of the face and its
parts at the recording's resolution (`guard.structure`); and the flicker: how much what was raised
changes from one moment to the next along the track, lit alike, as a part of what there is of it;
beside it the same where each frame is raised alone, and of the truth's own finest detail, which a
face that moves and is lit anew has too. Cost is core seconds a frame, of `faces` and of the chain
before it. The constants of the raising were set on "singer", and its power was chosen by a look at
all cases but "room 1".
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import av
import judged
import methods
import metrics
import numpy as np
import torch
import vapoursynth as vs
from metrics import Film
from numpy.typing import NDArray
from PIL import Image

import vsencore
from vsencore.engine import light
from vsencore.engine.scaling import resize
from vsencore.face import Track, Tracks, detail, detector
from vsencore.face import filter as faces_filter
from vsencore.face.align import blur, flow, similarity, warp
from vsencore.face.blend import head
from vsencore.face.follow import follow
from vsencore.face.guard import SIDE_PX, structure
from vsencore.face.model import POINTS_PX

__all__: list[str] = []

Pictures = NDArray[np.uint8]

_STAGE = "stage_hamilton_whitehouse_640x360.mp4"
_WEBCAM = "bt601_webcam_640x428.mov"
DROP = 2


@dataclass(frozen=True)
class Setting:
    """A judged case, and where its clean pictures come from: four places of a clip, or the case."""

    case: judged.Case
    starts: Sequence[int] = ()
    mirrored: bool = False


SETTINGS = (
    Setting(judged.Case("singer", _STAGE, 0, "pal", "show", "heavy", 61), (130, 165, 200, 240)),
    Setting(judged.Case("singers", _STAGE, 0, "ntsc", "strobe", "light", 62), (130, 165, 200, 240)),
    Setting(judged.Case("webcam", _WEBCAM, 0, "pal", "calm", "light", 63), (0, 5, 3, 1), True),
    Setting(next(case for case in judged.CASES if case.name == "juggle 1")),
    Setting(next(case for case in judged.CASES if case.name == "room 1")),
)
QUICK = ("singers", "juggle 1")


@dataclass(frozen=True)
class Row:
    """One face's figures, without and with `faces`."""

    case: str
    face: int
    px: int
    psnr: tuple[float, float]
    neg: tuple[float, float]
    score: tuple[float, float]
    flicker: tuple[float, float, float]


def main() -> int:
    """Print the tables; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help=f"only {' and '.join(QUICK)}")
    parser.add_argument("--case", action="append", choices=[one.case.name for one in SETTINGS])
    parser.add_argument("--moments", type=int, default=24)
    parser.add_argument("--strength", type=float, default=0.5)
    parser.add_argument("--out", type=Path, help="folder for sheets")
    parser.add_argument("--keep", type=Path, help="folder in which made cases are kept")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    wanted = given.case or (QUICK if given.quick else [one.case.name for one in SETTINGS])
    print(f"{vs.core.num_threads} threads, {torch.get_num_threads()} of torch; {given.moments}")
    print(f"moments a case, strength {given.strength}, faces found by {detector().name}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="encore-faces-") as scratch:
        for setting in SETTINGS:
            if setting.case.name in wanted:
                folder = (given.keep or Path(scratch)) / setting.case.name.replace(" ", "")
                rows += _judge(setting, folder, given)
    _means(rows)
    return 0


def _judge(setting: Setting, folder: Path, given: argparse.Namespace) -> list[Row]:
    about = _made(setting, folder, given)
    size = about["width"], about["height"]
    base, truth = (Film(folder / f"{name}.yuv", *size) for name in ("base", "truth"))
    clip = _clip(base, about["system"])
    tracks = _tracked(base)
    if not tracks.tracks:
        print(f"{setting.case.name}: no face was found")
        return []
    found = vsencore_faces(clip, given, tracks)
    began = time.process_time()
    methods.write(found, folder / "faces.yuv")
    cost = (time.process_time() - began) / clip.num_frames
    chain = about.get("chain_core_s")
    if _codes(vsencore_faces(clip, given, tracks, 0.0)) != _codes(clip):
        raise SystemExit("strength 0 changed a sample")
    # What is raised, without what is merged; and the same of each frame, which is believed alone.
    with (
        patch.object(faces_filter, "calmed", lambda made, centre: torch.zeros_like(centre)),
        patch.object(faces_filter, "grain_kept", lambda centre, *_: torch.zeros_like(centre)),
    ):
        methods.write(vsencore_faces(clip, given, tracks), folder / "raised.yuv")
        with (
            patch.object(faces_filter, "aligned", _believed),
            patch.object(faces_filter, "smoothed", lambda own, *_: own),
        ):
            methods.write(vsencore_faces(clip, given, tracks), folder / "alone.yuv")
    names = "faces", "raised", "alone"
    made, raised, alone = (Film(folder / f"{name}.yuv", *size) for name in names)
    rows = []
    largest = sorted(tracks.tracks, key=lambda track: -float(track.boxes[:, 2].mean()))[:4]
    many = statistics.mean(len(tracks.at(n)) for n in range(clip.num_frames))
    print()
    print(f"{setting.case.name}: {size[0]}x{size[1]}, {many:.1f} faces a frame; strength 0 exact;")
    told = "not measured" if chain is None else f"{chain:.2f}, {cost / chain:.0%} of it"
    print(f"{cost:.2f} core seconds a frame; the chain before: {told}")
    for track in largest:
        row = _row(setting.case.name, track, (base, made, raised, alone, truth))
        rows.append(row)
        _print(row)
        if given.out:
            name = f"{row.case}-{row.face}.png".replace(" ", "")
            _sheet(track, (base, made, truth), given.out / name)
    return rows


def vsencore_faces(
    clip: vs.VideoNode, given: argparse.Namespace, tracks: Tracks, strength: float | None = None
) -> vs.VideoNode:
    """The filter as it is called in a script."""
    amount = given.strength if strength is None else strength
    return faces_filter.faces(clip, amount, tracks=tracks, device=given.device)


def _made(setting: Setting, folder: Path, given: argparse.Namespace) -> dict[str, object]:
    """The case's truth and remastered recording; what is kept is taken as it is."""
    path = folder / "about.json"
    if not (folder / "base.yuv").exists():
        data = judged.data_folder()
        pictures = _clean(setting, given.moments, data)
        with patch.object(judged, "clean", lambda *_: pictures):
            judged.make(setting.case, given.moments, data, folder)
        about = json.loads(path.read_text())
        clip = vsencore.remaster(
            methods.recording(folder),
            height=about["height"],
            width=about["width"],
            matrix="keep",
            device=given.device,
        )
        began = time.process_time()
        methods.write(clip, folder / "part.yuv")
        about["chain_core_s"] = (time.process_time() - began) / clip.num_frames
        path.write_text(json.dumps(about, indent=1))
        (folder / "part.yuv").rename(folder / "base.yuv")
    told: dict[str, object] = json.loads(path.read_text())
    return told


def _clean(setting: Setting, moments: int, data: Path) -> Pictures:
    if not setting.starts:
        return judged.clean(setting.case, moments, data)
    parts = []
    for number, start in enumerate(setting.starts):
        with av.open(str(data / "clips" / setting.case.clip)) as container:
            seen = [
                np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                for at, frame in enumerate(container.decode(video=0))
                if start <= at < start + moments
            ]
        pictures = np.stack(seen)[:, : seen[0].shape[0] // 2 * 2]
        parts.append(pictures[:, :, ::-1] if setting.mirrored and number % 2 else pictures)
    return np.ascontiguousarray(
        np.concatenate([np.concatenate(parts[:2], 2), np.concatenate(parts[2:], 2)], 1)
    )


def _clip(film: Film, system: object) -> vs.VideoNode:
    matrix = 5 if system == "pal" else 6
    frames = list(zip(*film.planes(), strict=True))
    return methods.clip_of(frames, vs.YUV420P10, (50, 1)).std.SetFrameProps(
        _FieldBased=0, _Matrix=matrix, _Primaries=matrix, _Transfer=6, _Range=0, _ChromaLocation=0
    )


def _tracked(film: Film) -> Tracks:
    """Tracks as a scan makes them."""
    length = len(film.planes()[0])
    return follow(
        ((_rgb(film, n), n == 0) for n in range(length)), detector(), rate=Fraction(50), least_px=16
    )


def _rgb(film: Film, n: int) -> Pictures:
    luma, *chroma = (plane[n].astype(np.float32) for plane in film.planes())
    size = luma.shape[1], luma.shape[0]
    blue, red = (
        (np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)) - 512) / 896
        for plane in chroma
    )
    luma = (luma - 64) / 876
    reds, blues = luma + 1.402 * red, luma + 1.772 * blue
    greens = (luma - 0.299 * reds - 0.114 * blues) / 0.587
    return np.clip(np.stack([reds, greens, blues], -1) * 255 + 0.5, 0, 255).astype(np.uint8)


def _codes(clip: vs.VideoNode) -> list[bytes]:
    """Every eighth frame's luma."""
    return [np.asarray(clip.get_frame(n)[0]).tobytes() for n in range(0, clip.num_frames, 8)]


def _row(case: str, track: Track, films: tuple[Film, Film, Film, Film, Film]) -> Row:
    base, made, raised, alone, truth = films
    moments = range(max(DROP, track.first), min(len(truth.planes()[0]) - DROP, track.last + 1))
    errors: list[list[float]] = [[], []]
    scores: list[list[float]] = [[], []]
    for n in moments:
        mask, view = _head(track, n, truth)
        for number, film in enumerate((base, made)):
            off = film.planes()[0][n][view].astype(np.float32) - truth.planes()[0][n][view]
            errors[number].append(float((mask * off * off).sum() / mask.sum()))
        upright = [_upright(film, track, n) for film in (base, made, truth)]
        lines = max(32, round(576 * SIDE_PX * _scale(track, n, truth) / truth.height))
        for number in (0, 1):
            scores[number].append(structure(upright[2], upright[number], lines))
    psnr = tuple(metrics.decibels(statistics.fmean(one)) for one in errors)
    score = tuple(statistics.fmean(one) for one in scores)
    neg = tuple(_neg(film, truth, track, moments) for film in (base, made))
    ours, single = (_flicker(film, base, truth, track, moments) for film in (raised, alone))
    own = _flicker(None, None, truth, track, moments)
    px = round(float(track.boxes[:, 3].mean()) * truth.height)
    return Row(
        case,
        track.id,
        px,
        (psnr[0], psnr[1]),
        (neg[0], neg[1]),
        (score[0], score[1]),
        (ours, single, own),
    )


def _head(track: Track, n: int, film: Film) -> tuple[NDArray[np.float32], tuple[slice, slice]]:
    """The head's mask, and where it lies."""
    whole = np.array([film.width, film.height], np.float32)
    _, box, points, _ = track.at(n)
    size = (film.height, film.width)
    mask = head(box * np.tile(whole, 2), points * whole, size, 1.0, torch.device("cpu"))[0, 0]
    rows, columns = (np.flatnonzero(mask.amax(axis).numpy()) for axis in (1, 0))
    view = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return np.asarray(mask[view].numpy(), np.float32), view


def _upright(film: Film, track: Track, n: int) -> torch.Tensor:
    """A face's luma as models take it (1, 1, 512, 512)."""
    luma = (film.planes()[0][n].astype(np.float32) - 64) / 876
    maps = similarity(POINTS_PX, _middles(track, n, film)).astype(np.float32)
    return warp(
        torch.from_numpy(luma)[None, None], torch.from_numpy(maps)[None], (SIDE_PX, SIDE_PX)
    )


def _scale(track: Track, n: int, film: Film) -> float:
    return float(np.linalg.norm(similarity(POINTS_PX, _middles(track, n, film))[:, 0]))


def _middles(track: Track, n: int, film: Film) -> NDArray[np.float64]:
    return np.asarray(track.at(n)[2], np.float64) * (film.width, film.height) - 0.5


def _neg(film: Film, truth: Film, track: Track, moments: range) -> float:
    """VMAF-NEG of crops about the face; FFmpeg wants one size, so it is the largest head's."""
    views = [_head(track, n, truth)[1] for n in moments]
    tall = max(view[0].stop - view[0].start for view in views) // 2 * 2
    wide = max(view[1].stop - view[1].start for view in views) // 2 * 2
    with tempfile.TemporaryDirectory(prefix="encore-neg-") as folder:
        crops = []
        for name, shown in (("made", film), ("truth", truth)):
            path = Path(folder) / f"{name}.yuv"
            with path.open("wb") as file:
                for n, view in zip(moments, views, strict=True):
                    top = min(view[0].start // 2 * 2, film.height - tall)
                    left = min(view[1].start // 2 * 2, film.width - wide)
                    for step, plane in zip((1, 2, 2), shown.planes(), strict=True):
                        rows = slice(top // step, (top + tall) // step)
                        columns = slice(left // step, (left + wide) // step)
                        file.write(np.ascontiguousarray(plane[n][rows, columns]))
            crops.append(Film(path, wide, tall))
        figures: metrics.Figures = metrics.compare(crops[0], crops[1], 0)
        return figures.vmaf_neg


def _believed(centre: torch.Tensor, cuts: torch.Tensor, maps: torch.Tensor) -> detail.Aligned:
    """A window in which every neighbour is the centre: what a filter of single frames sees."""
    many = 2 * faces_filter.REACH
    height, width = centre.shape[-2:]
    half = torch.ones(many, 1, height // 2, width // 2, device=centre.device)
    moved = torch.zeros_like(half).expand(-1, 2, -1, -1)
    return detail.Aligned(centre, centre.expand(many, -1, -1, -1), half, half[..., :1, :1], moved)


def _flicker(
    film: Film | None, base: Film | None, truth: Film, track: Track, moments: range
) -> float:
    """How much detail changes along the track, as a part of what there is of it.

    The detail is what `film` has more than `base`; without `base`, what it has above its low band;
    without both, the truth's own finest detail. The last moment's is brought to this one's place
    and light by what the truth is.
    """
    steps, sizes = [], []
    last: tuple[torch.Tensor, torch.Tensor] | None = None
    for n in moments:
        clean = _small(_upright(truth, track, n))
        shown = clean if film is None else _small(_upright(film, track, n))
        fine = 1.0 / _scale(track, n, truth) if film is None else 6.0
        lower = blur(shown, fine) if base is None else _small(_upright(base, track, n))
        now = (shown - lower, clean)
        if last is not None:
            gain, offset, _ = light.light_map(light.miniature(last[1]), light.miniature(clean))
            rows, columns = clean.shape[-2:]
            gain = resize(gain, rows, columns, "bilinear")
            lit = last[1] * gain + resize(offset, rows, columns, "bilinear")
            moved = flow(lit, clean)
            there = warp(last[0], torch.eye(2, 3)[None], (rows, columns), moved) * gain
            steps.append(float((now[0] - there)[..., 64:224, 64:192].square().mean()))
            sizes.append(float(now[0][..., 64:224, 64:192].square().mean()))
        last = now
    return math.sqrt(sum(steps) / sum(sizes)) if sum(sizes) else 0.0


def _small(face: torch.Tensor) -> torch.Tensor:
    return resize(face, SIDE_PX // 2, SIDE_PX // 2, "bilinear")


def _print(row: Row) -> None:
    print(
        f"  face {row.face}, {row.px} px: PSNR-Y {row.psnr[0]:.2f} {_over(row.psnr):+.2f},"
        f" VMAF-NEG {row.neg[0]:.1f} {_over(row.neg):+.1f},"
        f" structure {row.score[0]:.3f} {_over(row.score):+.3f},"
        f" flicker {row.flicker[0]:.2f} (alone {row.flicker[1]:.2f}, truth {row.flicker[2]:.2f})",
        flush=True,
    )


def _over(pair: tuple[float, float]) -> float:
    return pair[1] - pair[0]


def _means(rows: Sequence[Row]) -> None:
    if not rows:
        return
    print()

    def mean(of: Callable[[Row], float]) -> float:
        return statistics.fmean(of(row) for row in rows)

    print(
        f"{len(rows)} faces, means: PSNR-Y {mean(lambda row: _over(row.psnr)):+.2f} dB,"
        f" VMAF-NEG {mean(lambda row: _over(row.neg)):+.1f},"
        f" structure {mean(lambda row: _over(row.score)):+.3f}"
        f" (worst {min(_over(row.score) for row in rows):+.3f}),"
        f" flicker {mean(lambda row: row.flicker[0]):.2f}"
        f" (alone {mean(lambda row: row.flicker[1]):.2f},"
        f" truth {mean(lambda row: row.flicker[2]):.2f})"
    )
    gains = ", ".join(
        f"{name} {statistics.fmean(_over(row.psnr) for row in rows if row.case == name):+.2f}"
        for name in dict.fromkeys(row.case for row in rows)
    )
    print(f"PSNR-Y by case: {gains}")


def _sheet(track: Track, films: Sequence[Film], path: Path) -> None:
    """Without, with, and the truth, at twice the size."""
    n = (max(DROP, track.first) + track.last) // 2
    _, view = _head(track, n, films[0])
    shown = np.concatenate([_rgb(film, n)[view] for film in films], 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    large = shown.shape[1] * 2, shown.shape[0] * 2
    Image.fromarray(shown).resize(large, Image.Resampling.LANCZOS).save(path)


if __name__ == "__main__":
    sys.exit(main())
