"""How stages run over a clip's frames, one after another, without leaving the device.

Frames are worked in blocks of `batch` consecutive ones, always the same blocks: frame n belongs to
block n // batch, and the last block is filled up with the last frame. A stage's pictures are
computed a block at a time and kept in a cache with a byte bound, so that windows which overlap
share them. Since a block is always computed whole, from whole blocks before it, its pictures are
the same in whatever order frames are asked for; the cache only saves work.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from . import light
from .colour import Field
from .device import Place, is_out_of_memory, logger
from .scaling import resize
from .stage import AnyStage, Beside, Colour, Finish, Made, Stage, growth
from .tiles import run_tiled

__all__ = ["Chain", "Pictures", "joined"]

_SMALLEST_TILE_PX = 64
_FIRST_TILE_PX = 512
_MOST_FLAGS = 4096


@dataclass(frozen=True)
class Pictures:
    """Frames on the device: (N, 3, H, W), R'G'B' or Y'CbCr 4:4:4 as `colour` says.

    `field` is the parity of a source picture that is a single field. Where `chroma` is told apart,
    (N, 2, h, w) of the same view at a size of its own, `frames` are luma alone.
    """

    colour: Colour
    frames: Tensor
    field: Field | None = None
    chroma: Tensor | None = None

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def nbytes(self) -> int:
        """What they hold of memory."""
        return self.frames.nbytes + (0 if self.chroma is None else self.chroma.nbytes)

    def whole(self) -> Tensor:
        """The frames with all their channels at one size."""
        return self.frames if self.chroma is None else joined(self.frames, self.chroma)


class Chain:
    """Stages over a clip of `length` frames, in blocks of `batch`.

    `recolour(frames, colour)` gives frames (N, 3, H, W) of the other colour model as `colour`.
    """

    def __init__(
        self,
        stages: Sequence[AnyStage],
        length: int,
        batch: int,
        place: Place,
        recolour: Callable[[Tensor, Colour], Tensor],
    ) -> None:
        self.stages = [stage.to(place.device, place.dtype) for stage in stages]
        self.length, self.batch, self.place = length, batch, place
        self.looks = any(stage.reach for stage in stages)
        self._recolour = recolour
        self._cache = _Cache(place.cache_bytes)
        self._told: dict[int, light.Flags] = {}
        self._lock = threading.Lock()
        self._runners = [
            None if isinstance(stage, Finish) else _Runner(stage, place) for stage in self.stages
        ]

    @property
    def blocks(self) -> int:
        """How many blocks the clip has."""
        return -(-self.length // self.batch)

    @property
    def before(self) -> int:
        """Source frames needed before a block's first; `after` is as many after its last."""
        reach = 0
        for number in reversed(range(len(self.stages))):
            reach += self.stages[number].reach
            if number:
                # What a stage before this one makes, it makes in whole blocks.
                reach = -(-reach // self.batch) * self.batch
        return reach + (light.LOOK if self.looks else 0)

    after = before

    def block(self, number: int, source: Callable[[int], Pictures]) -> Pictures:
        """The finished pictures of a block; `source(n)` gives source frame n, a batch of one.

        One block is worked at a time; others wait.
        """
        with self._lock, torch.inference_mode():
            return self._block(len(self.stages), number, self._seen(source))

    def flags(self, n: int, source: Callable[[int], Pictures]) -> light.Flags:
        """Whether frame n begins or ends a shot, or is a flash, as its neighbours tell."""
        with self._lock, torch.inference_mode():
            return self._flags(n, self._seen(source))

    def _seen(self, source: Callable[[int], Pictures]) -> "_Source":
        return _Source(source, self._cache, self.length, self._recolour)

    def _flags(self, n: int, source: "_Source") -> light.Flags:
        if n not in self._told:
            if len(self._told) >= _MOST_FLAGS:
                self._told.clear()
            around = range(n - light.LOOK, n + light.LOOK + 1)
            self._told[n] = light.flags(torch.cat([source.miniature(at) for at in around]))
        return self._told[n]

    def _block(self, level: int, number: int, source: "_Source") -> Pictures:
        """Block `number` after the first `level` stages, from the cache or computed."""
        key = (level, number)
        found = self._cache.get(key)
        if found is None:
            found = self._computed(level, number, source)
            if level < len(self.stages):
                self._cache.put(key, found)
        return found

    def _computed(self, level: int, number: int, source: "_Source") -> Pictures:
        first = number * self.batch
        if level == 0:
            return _joined([source.frame(n) for n in range(first, first + self.batch)])
        stage, runner = self.stages[level - 1], self._runners[level - 1]
        centres = [min(n, self.length - 1) for n in range(first, first + self.batch)]
        if isinstance(stage, Finish):
            return self._finished(level, number, centres, stage, source)
        assert runner is not None
        windows = [self._window(n, stage, source) for n in centres]
        fields = stage.needs.fields
        turned = [fields and source.frame(n).field == "bottom" for n in centres]
        # Each picture is made once, in order, and copied once, into its places: these are the
        # largest tensors that a window costs.
        wanted = {(n, down) for w, down in zip(windows, turned, strict=True) for n in w}
        shown = {
            (n, upside_down): self._shown(level - 1, n, upside_down, stage.needs.colour, source)
            for n, upside_down in sorted(wanted)
        }
        height, width = next(iter(shown.values())).shape[-2:]
        stacked = torch.empty(
            (len(windows), len(windows[0]), 4 if stage.needs.light else 3, height, width),
            dtype=self.place.dtype,
            device=self.place.device,
        )
        for window, upside_down, room in zip(windows, turned, stacked, strict=True):
            for n, one in zip(window, room, strict=True):
                one[:3] = shown[n, upside_down][0]
        if stage.needs.light:
            self._light_alike(stacked, windows, turned, stage, source)
        made = runner(stacked)
        if isinstance(made, Tensor):
            return Pictures(stage.needs.colour, _turned(made, turned))
        luma, chroma = made
        return Pictures("yuv", _turned(luma, turned), None, _turned(chroma, turned))

    def _finished(
        self, level: int, number: int, centres: Sequence[int], stage: Finish, source: "_Source"
    ) -> Pictures:
        """A block's pictures, one at a time with the source's beside it."""
        block = self._block(level - 1, number, source)
        luma, chroma = self._apart(block)
        made = []
        for at, n in enumerate(centres):
            seen = source.frame(n)
            shown = self._coloured(seen, "yuv")
            beside = Beside(n, shown, seen.field)
            made.append(stage.finish(luma[at : at + 1], chroma[at : at + 1], beside))
        lumas, chromas = zip(*made, strict=True)
        return Pictures("yuv", torch.cat(lumas), None, torch.cat(chromas))

    def _apart(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Luma and chroma of pictures, float32."""
        if pictures.chroma is not None:
            return pictures.frames.float(), pictures.chroma.float()
        yuv = self._coloured(pictures, "yuv")
        return yuv[:, :1], yuv[:, 1:]

    def _coloured(self, pictures: Pictures, colour: Colour) -> Tensor:
        """The frames, all of three channels, in a colour model, float32."""
        frames = pictures.frames.float()
        return frames if pictures.colour == colour else self._recolour(frames, colour)

    def _window(self, n: int, stage: Stage, source: "_Source") -> list[int]:
        if not stage.reach:
            return [n]
        around = range(max(0, n - stage.reach), min(self.length, n + stage.reach + 1))
        cuts = {at for at in around if at > 0 and self._flags(at, source).cut_prev}
        fields = stage.needs.fields
        return light.window_indices(n, stage.reach, cuts, self.length, fields=fields)

    def _shown(
        self, level: int, n: int, upside_down: bool, colour: Colour, source: "_Source"
    ) -> Tensor:
        """Frame n after `level` stages, upside down where it is wanted so."""
        if not upside_down:
            return self._frame(level, n, colour, source)
        # Only fields are, and only at the source, where both ways are kept.
        pictures = source.turned(n)
        frames = pictures.frames
        return frames if pictures.colour == colour else self._recolour(frames.float(), colour)

    def _frame(self, level: int, n: int, colour: Colour, source: "_Source") -> Tensor:
        """Frame n (1, 3, H, W) after `level` stages, in a colour model, ready for a stage."""
        if level == 0:
            pictures = source.frame(n)
        else:
            block = self._block(level, n // self.batch, source)
            at = n % self.batch
            chroma = None if block.chroma is None else block.chroma[at : at + 1]
            frames = Pictures(block.colour, block.frames[at : at + 1], None, chroma).whole()
            pictures = Pictures(block.colour, frames)
        frames = pictures.frames
        if pictures.colour != colour:
            frames = self._recolour(frames.float(), colour)
        return frames.to(self.place.dtype)

    def _light_alike(
        self,
        stacked: Tensor,
        windows: Sequence[Sequence[int]],
        turned: Sequence[bool],
        stage: Stage,
        source: "_Source",
    ) -> None:
        """Give neighbours the centre's stage light, and tell how far to trust that."""
        minis = torch.stack([torch.cat([source.miniature(n) for n in w]) for w in windows])
        yuv = stage.needs.colour == "yuv"
        light.fill_trust(
            stacked,
            _turned(minis, turned),
            lambda frames: self._recolour(frames.float(), "rgb") if yuv else frames.float(),
            lambda frames: self._recolour(frames, "yuv") if yuv else frames,
            below=0.5 if stage.needs.fields else 0.0,
        )


class _Source:
    """Source frames and their miniatures for the time of one request, clamped to the clip."""

    def __init__(
        self,
        fetch: Callable[[int], Pictures],
        cache: "_Cache",
        length: int,
        recolour: Callable[[Tensor, Colour], Tensor],
    ) -> None:
        self._fetch, self._cache, self._length = fetch, cache, length
        self._recolour = recolour

    def frame(self, n: int) -> Pictures:
        return self._kept(("frame", self._clamped(n)), self._fetch)

    def turned(self, n: int) -> Pictures:
        """Frame n upside down: half of an interlaced clip's windows want it so."""

        def flipped(at: int) -> Pictures:
            frame = self.frame(at)
            return Pictures(frame.colour, frame.frames.flip(-2))

        return self._kept(("turned", self._clamped(n)), flipped)

    def miniature(self, n: int) -> Tensor:
        def shrunk(at: int) -> Pictures:
            frame = self.frame(at)
            # Averaged first: colour of an average is the average of colours, and it is small.
            small = light.miniature(frame.frames.float(), frame.field)
            return Pictures("rgb", small if frame.colour == "rgb" else self._recolour(small, "rgb"))

        return self._kept(("miniature", self._clamped(n)), shrunk).frames

    def _clamped(self, n: int) -> int:
        return min(max(n, 0), self._length - 1)

    def _kept(self, key: tuple[str, int], make: Callable[[int], Pictures]) -> Pictures:
        found = self._cache.get(key)
        if found is None:
            found = make(key[1])
            self._cache.put(key, found)
        return found


class _Cache:
    """Pictures by key, least recently used out first, bounded in bytes."""

    def __init__(self, bound: int) -> None:
        self._bound, self._bytes = bound, 0
        self._kept: OrderedDict[tuple[str | int, int], Pictures] = OrderedDict()

    def get(self, key: tuple[str | int, int]) -> Pictures | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: tuple[str | int, int], pictures: Pictures) -> None:
        self._kept[key] = pictures
        self._bytes += pictures.nbytes
        while self._bytes > self._bound and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes


class _Runner:
    """Runs a stage: padded to what it takes, in smaller bites when memory does not suffice."""

    def __init__(self, stage: Stage, place: Place) -> None:
        self._stage, self._place = stage, place
        self._tile_px = place.tile_px
        self._bites = None if self._tile_px is None else 1

    def __call__(self, windows: Tensor) -> Made:
        while True:
            try:
                if self._bites is None or self._bites >= len(windows):
                    return self._run(windows)
                return _together([self._run(part) for part in windows.split(self._bites)])
            except Exception as error:
                if not is_out_of_memory(error) or not self._smaller(windows):
                    raise
            # Outside the handler, so that the failed attempt's tensors are free again.
            if self._place.device.type == "cuda":
                torch.cuda.empty_cache()

    def _run(self, windows: Tensor) -> Made:
        height, width = windows.shape[-2:]
        padded, (higher, wider) = self._padded(windows), growth(self._stage)
        tall, wide = padded.shape[-2:]
        fits = self._tile_px is None or self._tile_px >= max(tall, wide)
        result = self._stage.run(padded) if fits else self._tiled(padded)
        if (tall, wide) == (height, width):
            return result
        if isinstance(result, Tensor):
            return result[..., : height * higher, : width * wider]
        luma, chroma = result
        rows, columns = chroma.shape[-2] // tall, chroma.shape[-1] // wide
        return (
            luma[..., : height * higher, : width * wider],
            chroma[..., : height * rows, : width * columns],
        )

    def _padded(self, windows: Tensor) -> Tensor:
        needs, (height, width) = self._stage.needs, windows.shape[-2:]

        def taken(side: int) -> int:
            least = max(side, needs.minimum_px)
            return least + -least % needs.multiple_of

        beyond = (0, taken(width) - width, 0, taken(height) - height)
        if not any(beyond):
            return windows
        flat = functional.pad(windows.flatten(0, 1), beyond, mode="replicate")
        return flat.view(*windows.shape[:2], *flat.shape[1:])

    def _tiled(self, windows: Tensor) -> Tensor:
        assert self._tile_px is not None
        needs = self._stage.needs
        seen = needs.receptive_px

        def run(window: Tensor) -> Tensor:
            made = self._stage.run(window)
            return made if isinstance(made, Tensor) else joined(*made)

        return run_tiled(
            run,
            windows,
            growth=growth(self._stage),
            receptive_px=seen if isinstance(seen, int) else seen(),
            tile_px=self._tile_px,
            multiple_of=needs.multiple_of,
            minimum_px=needs.minimum_px,
        ).to(windows.dtype)

    def _smaller(self, windows: Tensor) -> bool:
        """Choose the next smaller bite, and say so; False where there is none."""
        now = self._bites or len(windows)
        if self._tile_px is None and now > 1:
            self._bites = now // 2
            logger.warning("out of memory: %d frames at once from here on", self._bites)
            return True
        side = max(windows.shape[-2:])
        tile = min(_FIRST_TILE_PX, side) if self._tile_px is None else self._tile_px // 2
        if self._tile_px is None and tile >= side:
            tile = side // 2
        if tile < _SMALLEST_TILE_PX:
            return False
        self._tile_px = tile
        logger.warning("out of memory: tiles of %d pixels from here on", tile)
        return True


def joined(luma: Tensor, chroma: Tensor) -> Tensor:
    """Luma (N, 1, H, W) and chroma (N, 2, h, w) of one view as Y'CbCr 4:4:4 (N, 3, H, W)."""
    return torch.cat([luma, resize(chroma, luma.shape[-2], luma.shape[-1], "bicubic")], 1)


def _together(parts: Sequence[Made]) -> Made:
    whole = [part for part in parts if isinstance(part, Tensor)]
    if whole:
        return torch.cat(whole)
    luma, chroma = zip(*parts, strict=True)
    return torch.cat(luma), torch.cat(chroma)


def _joined(pictures: Sequence[Pictures]) -> Pictures:
    return Pictures(pictures[0].colour, torch.cat([one.frames for one in pictures]))


def _turned(pictures: Tensor, which: Sequence[bool]) -> Tensor:
    """Turn those of pictures (N, ..., H, W) upside down that `which` names."""
    if not any(which):
        return pictures
    if all(which):
        return pictures.flip(-2)
    return torch.stack([p.flip(-2) if turn else p for p, turn in zip(pictures, which, strict=True)])
