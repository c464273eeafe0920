"""The judged cases: clean pictures that no training saw, lit and recorded with fixed seeds.

Each frame of a clean clip is taken as one field's moment, so its motion is as fast as 50 or 59.94
fields a second make it. The truth is the lit picture at the clip's own size. The clips are those
that MANIFEST.md keeps for judging and that are larger than SD; where a case says `photos`, its
motion is made: four moving scenes (`scripts/train/motion.py`) of the photos held out of training.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
import vapoursynth as vs
from methods import clip_of, write
from numpy.typing import NDArray

from encore.degradation import Recipe, Recording, draw, light_up, record
from encore.degradation.recipe import Damage, Light, System

__all__ = [
    "CASES",
    "PHOTOS",
    "PROGRESSIVE",
    "QUICK",
    "Case",
    "clean",
    "data_folder",
    "film",
    "make",
    "recipe",
]

Pictures = NDArray[np.uint8]

PHOTOS = "photos"
_TRAIN = Path(__file__).resolve().parents[1] / "train"
_MADE = (1080, 1920)


@dataclass(frozen=True)
class Case:
    """One judged recording; `start` is the clip's first frame, chosen where much moves."""

    name: str
    clip: str
    start: int
    system: System
    light: Light
    damage: Damage
    seed: int
    interlaced: bool = True


_ROOM = "room_people_1080p.mp4"
_JUGGLE = "sam2_juggle_720p24.mp4"
_BUNNY = "cgi_bigbuckbunny_720p.mp4"  # repeats each 25th frame: its spans are between repeats

CASES = (
    Case("room 1", _ROOM, 20, "pal", "strobe", "heavy", 11),
    Case("room 2", _ROOM, 14, "pal", "show", "light", 12),
    Case("room 3", _ROOM, 24, "ntsc", "calm", "heavy", 13),
    Case("juggle 1", _JUGGLE, 100, "pal", "calm", "light", 21),
    Case("juggle 2", _JUGGLE, 140, "ntsc", "strobe", "light", 22),
    Case("juggle 3", _JUGGLE, 190, "pal", "show", "heavy", 23),
    Case("bunny 1", _BUNNY, 7, "ntsc", "show", "light", 31),
    Case("bunny 2", _BUNNY, 32, "pal", "calm", "heavy", 32),
    Case("photos 1", PHOTOS, 0, "pal", "strobe", "light", 41),
    Case("photos 2", PHOTOS, 0, "ntsc", "show", "heavy", 42),
)
PROGRESSIVE = (
    Case("room 4", _ROOM, 20, "pal", "show", "heavy", 51, interlaced=False),
    Case("juggle 4", _JUGGLE, 100, "ntsc", "calm", "light", 52, interlaced=False),
    Case("bunny 4", _BUNNY, 7, "pal", "strobe", "heavy", 53, interlaced=False),
)
QUICK = ("room 1", "juggle 1", "bunny 1")


def data_folder() -> Path:
    """The shared material: `$ENCORE_DATA`, or ../shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("ENCORE_DATA", beside))


def recipe(case: Case) -> Recipe:
    """What is done to the case's picture."""
    rng = np.random.default_rng(case.seed)
    return draw(
        rng,
        system=case.system,
        light=case.light,
        damage=case.damage,
        interlaced=case.interlaced,
    )


def clean(case: Case, moments: int, data: Path) -> Pictures:
    """The case's clean pictures, R'G'B' (moments, height, width, 3).

    Raises FileNotFoundError where the material is not there, ValueError where it is too short.
    """
    if case.clip == PHOTOS:
        return _mosaic(case, moments)
    path = data / "clips" / case.clip
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; ENCORE_DATA says where the data is")
    seen: list[Pictures] = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= case.start:
                seen.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            if len(seen) == moments:
                return np.stack(seen)
    raise ValueError(f"{case.clip} has {len(seen)} frames from {case.start} on, not {moments}")


def film(case: Case, pictures: Pictures) -> tuple[Pictures, Recording]:
    """The truth, lit, and its recording; the same bytes each time."""
    drawn = recipe(case)
    truth = light_up(pictures, drawn)
    return truth, record(truth, drawn)


def make(case: Case, moments: int, data: Path, folder: Path) -> None:
    """Write the case: `y u v.npy`, the woven recording; `truth.yuv`, 4:2:0 of 10 bit; `about.json`.

    The truth's chroma is left-sited and in the recording's matrix, as the results will be.
    """
    truth, recording = film(case, clean(case, moments, data))
    folder.mkdir(parents=True, exist_ok=True)
    for name, plane in (("y", recording.y), ("u", recording.u), ("v", recording.v)):
        np.save(folder / f"{name}.npy", plane)
    about = {
        **asdict(case),
        "moments": moments,
        "height": truth.shape[1],
        "width": truth.shape[2],
        "top_first": recording.top_first,
        "recipe": asdict(recording.recipe),
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1))
    frames = [tuple(picture.transpose(2, 0, 1)) for picture in truth]
    planar = clip_of(frames, vs.RGB24, (50, 1)).resize.Bicubic(
        format=vs.YUV420P10, matrix=5 if case.system == "pal" else 6, range=0, chromaloc=0
    )
    write(planar, folder / "truth.yuv")


def _mosaic(case: Case, moments: int) -> Pictures:
    """Four scenes: photos are too small to fill a frame of this size and be sharp."""
    if str(_TRAIN) not in sys.path:
        sys.path.append(str(_TRAIN))
    from motion import scene

    rng = np.random.default_rng(case.seed)
    height, width = _MADE[0] // 2, _MADE[1] // 2
    rows = [
        np.concatenate([scene(rng, moments, height, width, "val") for _ in range(2)], 2)
        for _ in range(2)
    ]
    return np.concatenate(rows, 1)
