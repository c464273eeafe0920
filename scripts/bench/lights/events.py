"""Made events over real clips, with a known truth: what the light and the camera of a show do.

Each film is some two seconds of real clips seen through a moving crop, lit as
`encore.degradation.light_up` lights a stage, with one event in it, then noise, and MPEG-2 at 1.5
Mbit/s. All is drawn from a seed. The clips that MANIFEST.md keeps for judging are judged; what was
tuned was tuned on the clips that may be used for training, and on other seeds.
"""

import io
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encore.degradation import Recipe, light_up

__all__ = ["JUDGED", "KINDS", "RATE", "Film", "Truth", "decoded", "films"]

Pictures = NDArray[np.uint8]
Lamps = Callable[[int], NDArray[np.float32]]

RATE = 25
WIDTH, HEIGHT = 384, 216
_LENGTH = 56
_WIDE = 1280
_BIT_RATE = 1_500_000

# Stretches without a cut, by eye: clip, first frame, end.
JUDGED = (
    ("stage_hamilton_whitehouse_640x360.mp4", 20, 82),
    ("stage_hamilton_whitehouse_640x360.mp4", 82, 211),
    ("stage_hamilton_whitehouse_640x360.mp4", 211, 275),
    ("sam2_juggle_720p24.mp4", 0, 247),
    ("room_people_1080p.mp4", 0, 72),
    ("marathon_crowd_400p.mp4", 0, 150),
    ("bikes_640x272.mp4", 76, 137),
    ("longjump_tv_360p.mp4", 130, 550),
    ("longjump_tv_360p.mp4", 556, 864),
    ("cgi_bigbuckbunny_720p.mp4", 0, 132),
    ("dog_grass_360p.mp4", 0, 345),
    ("interlaced/woman_576i25_mpeg2.ts", 0, 61),
)
_TUNED = (
    ("flower_720p_300.264", 0, 300),
    ("cockatoo_720p20.mp4", 0, 280),
    ("sam2_cups_720p.mp4", 0, 300),
    ("sam2_dog_720p.mp4", 0, 289),
    ("rooftop_240p60.mp4", 0, 300),
    ("rooftop_240p60.mp4", 340, 932),
)

KINDS: tuple[tuple[str, int], ...] = (
    ("cut", 30),
    ("cut to another camera", 16),
    ("cut in a strobe", 14),
    ("cut beside a flash", 14),
    ("cut near a lamp's change", 10),
    ("cut in the dark", 8),
    ("cut between pans", 8),
    ("flash", 18),
    ("strobe", 24),
    ("lamp", 18),
    ("blackout", 12),
    ("fade", 10),
    ("fast pan", 10),
    ("whip pan", 8),
)
"""What happens, and in how many of 200 films."""


@dataclass(frozen=True)
class Truth:
    """An event's kind as `encore.lights` names it, its first and last frame, a strobe's rate."""

    kind: str
    first: int
    last: int
    hertz: float | None = None


@dataclass
class Film:
    """R'G'B' (T, HEIGHT, WIDTH, 3), and what is true of it."""

    kind: str
    seed: int
    frames: Pictures
    cuts: list[int] = field(default_factory=list)
    events: list[Truth] = field(default_factory=list)
    calm_light: bool = True
    """Whether the rig has no cues of its own, so that `events` are all that happens."""


def films(
    data: Path, *, judged: bool, count: int, seed: int, kinds: Collection[str] = ()
) -> Iterator[Film]:
    """Films of all kinds, or of `kinds`, in their shares: `count` of all kinds together, nearly."""
    total = sum(share for _, share in KINDS)
    for number, (kind, share) in enumerate(KINDS):
        if kinds and kind not in kinds:
            continue
        for one in range(max(1, round(share * count / total))):
            yield _film(data, kind, judged, 10_000 * seed + 100 * number + one)


def _film(data: Path, kind: str, judged: bool, seed: int) -> Film:
    maker = _Maker(data, np.random.default_rng(seed), judged)
    made = _EVENTS[kind](maker)
    made.kind, made.seed = kind, seed
    made.frames = _recorded(made.frames, np.random.default_rng([seed, 1]))
    return made


class _Maker:
    """Draws clips, crops and lights."""

    def __init__(self, data: Path, rng: np.random.Generator, judged: bool) -> None:
        self.rng, self._data = rng, data
        self._spans = JUDGED if judged else _TUNED
        self._last: int | None = None

    def shot(
        self, count: int, way: float = 0.0, *, zoom: tuple[float, float] = (0.45, 1.0)
    ) -> Pictures:
        """`count` frames of a clip, another than the last time; `way` widths of pan on the way."""
        rng = self.rng
        left = [n for n in range(len(self._spans)) if self._name(n) != self._name(self._last)]
        self._last = left[int(rng.integers(len(left)))]
        name, first, end = self._spans[self._last]
        start = first + int(rng.integers(max(1, end - first - count)))
        source = _clip(str(self._data / "clips" / name), start, min(count, end - start))
        wide = source.shape[2] * float(rng.uniform(*zoom))
        return self.framed(source, count, wide, way)

    def source(self) -> Pictures:
        """A film's length of a clip, whole; less where the clip is shorter."""
        name, first, end = self._spans[int(self.rng.integers(len(self._spans)))]
        start = first + int(self.rng.integers(max(1, end - first - _LENGTH)))
        return _clip(str(self._data / "clips" / name), start, min(_LENGTH, end - start))

    def framed(self, source: Pictures, count: int, wide: float, way: float = 0.0) -> Pictures:
        """Crop `wide` samples of a clip, drifting as a camera on a shoulder does."""
        rng = self.rng
        height, width = source.shape[1:3]
        wide = min(wide, width, height * WIDTH / HEIGHT)
        tall = wide * HEIGHT / WIDTH
        x, y = rng.uniform(0, width - wide), rng.uniform(0, height - tall)
        drift = rng.normal(0, 0.002, 2) * wide
        frames = []
        for n in range(count):
            at = len(source) - 1 - abs(len(source) - 1 - n % (2 * len(source) - 1))
            jolt = rng.normal(0, 0.0008, 2) * wide
            left = x + n * drift[0] + jolt[0] + way * wide * n
            frames.append(_crop(source[at], left, y + n * drift[1] + jolt[1], wide, tall))
        return np.stack(frames)

    def lit(self, frames: Pictures, light: str = "calm", seed: int | None = None) -> Pictures:
        seed = int(self.rng.integers(2**31)) if seed is None else seed
        assert light in ("calm", "show")
        recipe = Recipe(seed=0, light=light, light_seed=seed, interlaced=False)
        return light_up(frames, recipe)

    def steady(self, frames: Pictures) -> Pictures:
        """Under a wash and a spot that do not change."""
        rng = self.rng
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32) / HEIGHT
        wash = self.colour(0.3) * rng.uniform(0.15, 0.6)
        spot = np.exp(
            -((x - rng.uniform(0.3, 1.4)) ** 2 + (y - rng.uniform(0.2, 0.8)) ** 2)
            / rng.uniform(0.05, 0.4)
        )
        light = wash + spot[..., None] * self.colour(0.6) * rng.uniform(0.3, 0.8)
        return _times(frames, lambda n: light.astype(np.float32))

    def colour(self, least: float) -> NDArray[np.float32]:
        drawn = least + (1 - least) * self.rng.random(3)
        return np.asarray(drawn / drawn.max(), np.float32)

    def _name(self, span: int | None) -> str:
        return "" if span is None else self._spans[span][0]


def _cut(maker: _Maker) -> Film:
    at = int(maker.rng.integers(20, _LENGTH - 20))
    light = "show" if maker.rng.random() < 0.6 else "calm"
    shots = [maker.lit(maker.shot(count), light) for count in (at, _LENGTH - at)]
    return _joined(shots)


def _other_camera(maker: _Maker) -> Film:
    """The same moment, people and lamps, nearer and from elsewhere."""
    rng = maker.rng
    at = int(rng.integers(20, _LENGTH - 20))
    source = maker.source()
    width = source.shape[2]
    wide = maker.framed(source, at, width * rng.uniform(0.85, 1.0))
    near = maker.framed(source[min(at, len(source) - 1) :], _LENGTH - at, width * 0.42)
    if rng.random() < 0.5:
        wide, near = near[::-1], wide[::-1]
    seed = int(rng.integers(2**31))
    return _joined([maker.lit(part, "calm", seed) for part in (wide, near)])


def _cut_in_strobe(maker: _Maker) -> Film:
    film = _cut(maker)
    film.frames = _times(film.frames, _strobe(maker.rng)[0])
    return film


def _cut_beside_flash(maker: _Maker) -> Film:
    film = _cut(maker)
    first = film.cuts[0] + int(maker.rng.integers(-2, 2))
    long = int(maker.rng.integers(1, 3))
    strength = maker.rng.uniform(1.7, 8) * maker.colour(0.7)
    film.frames = _times(
        film.frames, lambda n: strength if first <= n < first + long else np.ones(3, np.float32)
    )
    return film


def _cut_near_lamp(maker: _Maker) -> Film:
    film = _cut(maker)
    at = film.cuts[0] + int(maker.rng.choice((-3, -2, -1, 1, 2, 3)))
    before, after = (maker.colour(0.1) * maker.rng.uniform(0.3, 1.6) for _ in range(2))
    film.frames = _times(film.frames, lambda n: before if n < at else after)
    return film


def _cut_in_dark(maker: _Maker) -> Film:
    film = _cut(maker)
    level = np.full(3, maker.rng.uniform(0.03, 0.12), np.float32)
    film.frames = _times(film.frames, lambda n: level)
    return film


def _cut_between_pans(maker: _Maker) -> Film:
    rng = maker.rng
    at = int(rng.integers(20, _LENGTH - 20))
    parts = []
    for count in (at, _LENGTH - at):
        way = rng.uniform(0.01, 0.03) * rng.choice((-1, 1))
        parts.append(maker.lit(maker.shot(count, way, zoom=(0.35, 0.5))))
    return _joined(parts)


def _flash(maker: _Maker) -> Film:
    frames = maker.steady(maker.shot(_LENGTH))
    first, long = int(maker.rng.integers(12, 40)), int(maker.rng.integers(1, 4))
    strength = maker.rng.uniform(1.8, 8) * maker.colour(0.7)
    one = np.ones(3, np.float32)
    lit = _times(frames, lambda n: strength if first <= n < first + long else one)
    return Film("", 0, lit, events=[Truth("flash", first, first + long - 1)])


def _strobing(maker: _Maker) -> Film:
    frames = maker.steady(maker.shot(_LENGTH))
    lamps, hertz, on = _strobe(maker.rng)
    return Film("", 0, _times(frames, lamps), events=[Truth("strobe", min(on), max(on), hertz)])


def _lamp(maker: _Maker) -> Film:
    """All lamps take another colour and level, in one frame or two."""
    frames = maker.shot(_LENGTH)
    at = int(maker.rng.integers(16, 40))
    first, second = maker.steady(frames), maker.steady(frames)
    level = np.float32(maker.rng.uniform(0.5, 1.5))
    second = _times(second, lambda n: np.full(3, level, np.float32))
    whole = np.concatenate([first[:at], second[at:]])
    return Film("", 0, whole, events=[Truth("lamp", at, at)])


def _blackout(maker: _Maker) -> Film:
    frames = maker.steady(maker.shot(_LENGTH))
    first, long = int(maker.rng.integers(12, 24)), int(maker.rng.integers(4, 24))
    rest = np.full(3, maker.rng.uniform(0, 0.002), np.float32)
    one = np.ones(3, np.float32)
    lit = _times(frames, lambda n: rest if first <= n < first + long else one)
    return Film("", 0, lit, events=[Truth("blackout", first, first + long - 1)])


def _fade(maker: _Maker) -> Film:
    count = 100
    frames = maker.steady(maker.shot(count))
    first, long = int(maker.rng.integers(10, 25)), int(maker.rng.integers(25, 65))
    up = maker.rng.random() < 0.5

    def lamps(n: int) -> NDArray[np.float32]:
        share = min(max((n - first) / long, 0.0), 1.0)
        return np.full(3, (share if up else 1 - share) ** 2, np.float32)

    return Film("", 0, _times(frames, lamps), events=[Truth("fade", first, first + long)])


def _fast_pan(maker: _Maker) -> Film:
    return _panned(maker, float(maker.rng.uniform(0.02, 0.06)))


def _whip_pan(maker: _Maker) -> Film:
    return _panned(maker, float(maker.rng.uniform(0.1, 0.22)))


_EVENTS: dict[str, Callable[[_Maker], Film]] = {
    "cut": _cut,
    "cut to another camera": _other_camera,
    "cut in a strobe": _cut_in_strobe,
    "cut beside a flash": _cut_beside_flash,
    "cut near a lamp's change": _cut_near_lamp,
    "cut in the dark": _cut_in_dark,
    "cut between pans": _cut_between_pans,
    "flash": _flash,
    "strobe": _strobing,
    "lamp": _lamp,
    "blackout": _blackout,
    "fade": _fade,
    "fast pan": _fast_pan,
    "whip pan": _whip_pan,
}


def _joined(shots: list[Pictures]) -> Film:
    return Film("", 0, np.concatenate(shots), cuts=[len(shots[0])], calm_light=False)


def _strobe(rng: np.random.Generator) -> tuple[Lamps, float, list[int]]:
    """Lamps of a strobe, its rate, and the frames that it lights."""
    hertz, start = float(rng.uniform(5, 12)), float(rng.uniform(0, 1))
    # The part of a period that its flash lasts; never so short that a frame misses one.
    duty = max(float(rng.uniform(0.1, 0.45)), hertz / RATE)
    rest = np.full(3, rng.uniform(0.15, 1), np.float32)
    flash = np.asarray(rng.uniform(2, 9) * (0.6 + 0.4 * rng.random(3)), np.float32)
    on = [n for n in range(1, _LENGTH - 1) if (n * hertz / RATE + start) % 1 < duty]
    lit = set(on)
    return lambda n: flash if n in lit else rest, hertz, on


def _panned(maker: _Maker, fastest: float) -> Film:
    """A pan that starts, goes at `fastest` widths a frame, and stops, with a shutter's blur."""
    rng = maker.rng
    source = maker.source()
    height, width = source.shape[1:3]
    wide = 0.34 * min(width, height * WIDTH / HEIGHT)
    tall = wide * HEIGHT / WIDTH
    room = (width - wide) / wide
    ramp = int(rng.integers(1, 4))
    hold = max(1, min(14, int(0.95 * room / fastest) - ramp))
    begin = int(rng.integers(10, 26))
    side = 1 if rng.random() < 0.5 else -1
    place = 0.0 if side > 0 else width - wide
    top = float(rng.uniform(0, height - tall))
    frames = []
    for n in range(_LENGTH):
        rise = min((n - begin) / ramp, (begin + 2 * ramp + hold - n) / ramp, 1.0)
        speed = side * fastest * max(rise, 0.0) * wide
        at = len(source) - 1 - abs(len(source) - 1 - n % (2 * len(source) - 1))
        open_for = [place + speed * step / 8 for step in range(4 if speed else 1)]
        seen = [_crop(source[at], left, top, wide, tall) for left in open_for]
        frames.append(np.mean(seen, 0, dtype=np.float32).astype(np.uint8))
        place += speed
    return Film("", 0, maker.steady(np.stack(frames)))


def _times(frames: Pictures, lamps: Lamps) -> Pictures:
    """Multiply the light of each frame."""
    lit = np.empty_like(frames)
    for n, frame in enumerate(frames):
        linear = _LINEAR[frame] * lamps(n)
        lit[n] = _CODED[np.clip(linear * 16383, 0, 16383).astype(np.uint16)]
    return lit


_LINEAR = ((np.arange(256) / 255) ** 2.2).astype(np.float32)
_CODED = np.round(255 * (np.arange(16384) / 16383) ** (1 / 2.2)).astype(np.uint8)


def _crop(frame: Pictures, left: float, top: float, wide: float, tall: float) -> Pictures:
    height, width = frame.shape[:2]
    left, top = min(max(left, 0), width - wide), min(max(top, 0), height - tall)
    box = (left, top, left + wide, top + tall)
    picture = Image.fromarray(frame).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box)
    return np.asarray(picture)


@cache
def decoded(path: str) -> Pictures:
    """A whole clip, no wider than _WIDE / 2 where it is long."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        width = min(_WIDE // 2, stream.codec_context.width)
        height = round(stream.codec_context.height * width / stream.codec_context.width / 2) * 2
        frames = [
            frame.to_ndarray(format="rgb24", width=width, height=height)
            for frame in container.decode(stream)
        ]
    return np.stack(frames)


def _clip(path: str, start: int, count: int) -> Pictures:
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is not there; ENCORE_DATA says where the data is")
    return decoded(path)[start : start + count]


def _recorded(frames: Pictures, rng: np.random.Generator) -> Pictures:
    """With a camera's noise, through MPEG-2."""
    noise = rng.uniform(1, 5) * rng.standard_normal((16, HEIGHT, WIDTH, 1), np.float32)
    held = io.BytesIO()
    with av.open(held, "w", format="mpegts") as out:
        stream = out.add_stream("mpeg2video", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate, stream.gop_size = _BIT_RATE, 12
        for n, frame in enumerate(frames):
            rolled = np.roll(noise[n % 16], int(rng.integers(WIDTH)), 1)
            noisy = np.clip(frame + rolled, 0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        out.mux(stream.encode())
    held.seek(0)
    with av.open(held) as container:
        seen = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if len(seen) != len(frames):
        raise RuntimeError(f"{len(frames)} frames went in, and {len(seen)} came out")
    return np.stack(seen)
