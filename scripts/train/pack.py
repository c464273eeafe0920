"""Cuts films into samples that a training can read as fast as memory can copy.

    sh scripts/run python scripts/train/pack.py DATA/train DATA/packed/train [--workers 2]

A sample is one tile of a film about one moment: the cells that a network is given (`nets.restorer`;
neighbours lit alike as the engine lights them, `--reach` pictures on each side), the centre's own
chroma, and the truth. All are eight bits, in limited codes, which is what the recordings are and
what a network's first layer takes on a processor. Where the moment's field is a bottom one all is
turned upside down, as the engine does. To a film belongs a folder of five arrays; `index` tells of
each sample its moment, its tile and whether it was turned.
"""

import argparse
import json
import os
import shutil
import sys
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsencore.engine import colour, light
from vsencore.engine.scaling import resize
from vsencore.nets import int8

TILES = 3
# 4:2:0 of 8 bit, limited range; the matrix only serves the light, which is found in R'G'B'.
SIGNAL = colour.Signal("YUV", 8, (1, 1), matrix=5, transfer=6, primaries=5)
# The truth's chroma is left-sited, a network's is in the middle of a frame's pixel.
TRUTH_SHIFT = (0.0, 0.25)
_SAME_LIGHT = 1.5 / 255

type Arrays = dict[str, np.ndarray[Any, Any]]


def main() -> int:
    """Pack the films that are not packed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("films", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--reach", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    folders = sorted(path.parent for path in given.films.glob("film_*/recipe.json"))
    folders = [path for path in folders if not (given.packed / path.name).exists()]
    given.packed.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with get_context("spawn").Pool(given.workers) as pool:
        work = partial(pack, out=given.packed, reach=given.reach)
        for number, count in enumerate(pool.imap_unordered(work, folders), 1):
            print(f"{number}/{len(folders)}: {count} samples", flush=True)
    return 0


def pack(folder: Path, out: Path, reach: int) -> int:
    """Pack one film, and say how many samples it gave."""
    torch.set_num_threads(1)
    names = ("y", "u", "v", "truth_y", "truth_u", "truth_v", "moments")
    film = Film(
        json.loads((folder / "recipe.json").read_text()),
        {name: np.load(folder / f"{name}.npy") for name in names},
    )
    samples, index = [], []
    with torch.inference_mode():
        for moment in range(len(film.arrays["moments"])):
            for tile in range(TILES**2):
                sample = film.cut(moment, tile, reach)
                if sample is not None:
                    samples.append(sample)
                    at = int(film.arrays["moments"][moment])
                    index.append((at, tile, film.field(at) == "bottom"))
    if not samples:
        return 0
    part = out / f"{folder.name}.part{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in samples[0]:
        np.save(part / f"{name}.npy", np.stack([sample[name] for sample in samples]))
    np.save(part / "index.npy", np.array(index, np.int16))
    part.rename(out / folder.name)
    return len(samples)


class Film:
    """A recording and its truth, of fields or of frames."""

    def __init__(self, told: dict[str, Any], arrays: Arrays) -> None:
        self.arrays = arrays
        self.interlaced = bool(told["interlaced"])
        self._top_first = bool(told["top_first"])

    def cut(self, moment: int, tile: int, reach: int) -> Arrays | None:
        """One sample; None where the recording is not as bright as its truth.

        A shutter that is open into the next moment's flash has light that the truth's moment has
        not; that light belongs to the show, and no network shall learn to take it away.
        """
        at = int(self.arrays["moments"][moment])
        height, width = (side // TILES for side in self.arrays["y"].shape[1:])
        row, column = divmod(tile, TILES)
        top, left = row * height, column * width
        times = range(at - reach, at + reach + 1)
        pictures = torch.stack([self._picture(t, top, left, height, width) for t in times])
        window = self._lit_alike(pictures, [self.field(t) for t in times])
        tall = 4 if self.interlaced else 2
        luma = self._truth(moment, ("y",), tall * top, 2 * left, tall * height, 2 * width)
        chroma = self._truth(moment, ("u", "v"), tall * top // 2, left, tall * height // 2, width)
        chroma = resize(chroma[None], *chroma.shape[-2:], "bicubic", TRUTH_SHIFT)[0]
        brighter = window[reach, 0].mean() - ((luma - 16) / 219).mean()
        if abs(float(brighter)) >= _SAME_LIGHT:
            return None
        if self.field(at) == "bottom":
            window, luma, chroma = window.flip(-2), luma.flip(-2), chroma.flip(-2)
        return {
            "cells": int8.codes(window[None])[0].contiguous().numpy(),
            "chroma": _codes(window[reach, 1:3] * 224 + 128),
            "truth_y": _codes(luma),
            "truth_uv": _codes(chroma),
        }

    def field(self, t: int) -> colour.Field | None:
        """The parity of a field; None of a frame."""
        if not self.interlaced:
            return None
        return "top" if (t % 2 == 0) == self._top_first else "bottom"

    def _picture(self, t: int, top: int, left: int, height: int, width: int) -> Tensor:
        """A picture's part (3, height, width): Y'CbCr, chroma at luma's places."""
        luma = self.arrays["y"][t, top : top + height, left : left + width]
        chroma = [
            self.arrays[name][t, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
            for name in ("u", "v")
        ]
        planes = [torch.from_numpy(plane)[None, None] for plane in (luma, *chroma)]
        y, u, v = colour.to_unit(planes, SIGNAL)
        whole = colour.chroma_up(torch.cat([u, v], 1), SIGNAL, (height, width), self.field(t))
        return torch.cat([y, whole], 1)[0]

    def _truth(
        self, moment: int, names: tuple[str, ...], top: int, left: int, height: int, width: int
    ) -> Tensor:
        """The codes of a part of the truth's planes."""
        planes = [
            self.arrays[f"truth_{name}"][moment, top : top + height, left : left + width]
            for name in names
        ]
        return torch.from_numpy(np.stack(planes)).float()

    @staticmethod
    def _lit_alike(pictures: Tensor, fields: list[colour.Field | None]) -> Tensor:
        """Pictures (K, 3, h, w) with the centre's stage light, and trust as a fourth channel."""
        pairs = zip(pictures, fields, strict=True)
        small = torch.cat([light.miniature(one[None], field) for one, field in pairs])
        windows = torch.cat([pictures, pictures[:, :1]], 1)[None]
        below = {"top": 0.5, "bottom": -0.5, None: 0.0}[fields[len(fields) // 2]]
        light.fill_trust(windows, _rgb(small)[None], _rgb, _yuv, below=below)
        return windows[0]


def _codes(values: Tensor) -> np.ndarray[Any, Any]:
    codes: np.ndarray[Any, Any] = values.round().clamp(0, 255).byte().contiguous().numpy()
    return codes


def _rgb(frames: Tensor) -> Tensor:
    return colour.yuv_to_rgb(frames, SIGNAL.matrix)


def _yuv(frames: Tensor) -> Tensor:
    return colour.rgb_to_yuv(frames, SIGNAL.matrix)


if __name__ == "__main__":
    sys.exit(main())
