"""Cuts told from flashes: F1 over 200 made events, PySceneDetect's detectors beside ours.

A cut counts where it is found at its very frame; `near` forgives one frame. `flash` counts the
cuts found in films of flashes and strobes, `other` those where lamps, fades or the camera are at
work. Peers run on the same frames with the settings they ship with; their minimal scene of 15
frames is never in the way.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from judged import data_folder

from encore.cuts import cuts_in, sketch
from lights.events import RATE, Film, Pictures, films
from vsencore.engine import light

__all__ = ["HEAD", "rows"]

HEAD = (
    f"{'detector':<28}{'F1':>7}{'recall':>8}{'prec.':>8}{'near F1':>9}"
    f"{'flash':>7}{'other':>7}{'fps':>8}"
)
# Films by which no threshold was chosen; those of 7 and 8 were.
_SEED = 9
_DETECTORS = ("Adaptive", "Content", "Hash", "Histogram", "Threshold")

type Find = Callable[[Pictures], list[int]]


@dataclass
class Score:
    """What one detector did."""

    right: int = 0
    near: int = 0
    found: int = 0
    true: int = 0
    in_flashes: int = 0
    elsewhere: int = 0
    took_s: float = 0.0
    frames: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, film: Film, cuts: Sequence[int], took_s: float) -> None:
        """Count one film."""
        hits = sum(cut in film.cuts for cut in cuts)
        self.right += hits
        self.near += sum(any(abs(cut - one) <= 1 for cut in cuts) for one in film.cuts)
        self.found += len(cuts)
        self.true += len(film.cuts)
        if film.kind in ("flash", "strobe"):
            self.in_flashes += len(cuts)
        elif not film.cuts:
            self.elsewhere += len(cuts)
        self.took_s += took_s
        self.frames += len(film.frames)
        if list(cuts) != film.cuts:
            self.wrong.append(f"{film.kind} {film.seed}: {film.cuts} seen as {list(cuts)}")

    def row(self, name: str) -> str:
        """One line under HEAD."""
        recall, precision = self.right / self.true, self.right / max(1, self.found)
        return (
            f"{name:<28}{_f1(self.right, self.found, self.true):>7.3f}{recall:>8.3f}"
            f"{precision:>8.3f}{_f1(self.near, self.found, self.true):>9.3f}"
            f"{self.in_flashes:>7}{self.elsewhere:>7}{self.frames / self.took_s:>8.0f}"
        )


def rows(quick: bool, *, judged: bool = True, seed: int = _SEED) -> list[str]:
    """Run all detectors over the films; lines of what ours missed follow the table."""
    finders, notes = _finders()
    scores = {name: Score() for name in finders}
    count = 0
    with torch.inference_mode():
        for film in films(data_folder(), judged=judged, count=40 if quick else 200, seed=seed):
            count += 1
            for name, find in finders.items():
                began = time.process_time()
                cuts = find(film.frames)
                scores[name].add(film, cuts, time.process_time() - began)
    lines = [score.row(name) for name, score in scores.items()]
    ours = next(iter(scores.values()))
    lines.append(f"({count} films, {ours.frames} frames, {ours.true} cuts; seed {seed})")
    return lines + [f"  ours: {wrong}" for wrong in ours.wrong] + notes


def _finders() -> tuple[dict[str, Find], list[str]]:
    found: dict[str, Find] = {"encore (engine)": _engine, "encore (a scan's, by luma)": _sketches}
    try:
        from scenedetect import FrameTimecode, detectors
    except ImportError as error:
        needs = "uv pip install scenedetect opencv-python-headless"
        return found, [f"* PySceneDetect is left out ({error}): {needs}"]
    for name in _DETECTORS:
        kind = getattr(detectors, f"{name}Detector")
        found[f"PySceneDetect {name}"] = _peer(kind, FrameTimecode)
    return found, []


def _engine(frames: Pictures) -> list[int]:
    """As `encore.glances` finds them in a show, and so the picture engine's windows."""
    minis = torch.cat(
        [
            light.miniature(torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255)
            for frame in frames
        ]
    )
    likeness = light.like_next(minis)
    found = []
    for gap in range(1, len(minis)):
        if likeness[gap - 1] >= light.ALIKE:
            continue
        around = torch.arange(gap - light.LOOK, gap + light.LOOK).clamp(0, len(minis) - 1)
        if light.cut_between(minis[around]):
            found.append(gap)
    return found


def _sketches(frames: Pictures) -> list[int]:
    luma = [(frame @ np.array([0.299, 0.587, 0.114])).astype(np.float32) for frame in frames]
    return cuts_in(0, [sketch(one) for one in luma])


def _peer(kind: Any, timecode: Any) -> Find:
    def find(frames: Pictures) -> list[int]:
        detector = kind()
        cuts: list[int] = []
        code = timecode(0, float(RATE))
        for number, frame in enumerate(frames):
            code = timecode(number, float(RATE))
            bgr = np.ascontiguousarray(frame[..., ::-1])
            cuts += [one.frame_num for one in detector.process_frame(code, bgr)]
        cuts += [one.frame_num for one in detector.post_process(code)]
        return sorted(set(cuts))

    return find


def _f1(right: int, found: int, true: int) -> float:
    return 2 * right / max(1, found + true)
