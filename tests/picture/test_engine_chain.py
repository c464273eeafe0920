"""The engine's promises: same frames in any order, true windows, bounded memory, clear refusals."""

import ctypes
import logging
import random
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field, replace

import numpy as np
import psutil
import pytest
import torch
import vapoursynth as vs
from torch.nn import functional

from vsencore.engine import bridge
from vsencore.engine.bridge import chain, scenes
from vsencore.engine.chain import Chain, Pictures, joined
from vsencore.engine.device import Place
from vsencore.engine.stage import Needs
from vsencore.engine.tiles import run_tiled

core = vs.core


@dataclass(frozen=True)
class Pick:
    """Gives the window's frame `at`: shows what a stage was handed."""

    reach: int
    at: int
    light: bool = False
    scale: int = 1

    @property
    def needs(self):
        return Needs(colour="yuv", light=self.light)

    def to(self, device, dtype):
        return self

    def run(self, window):
        return window[:, self.at, :3]


@dataclass(frozen=True)
class Mean:
    """The mean of the window."""

    reach: int = 1
    scale: int = 1
    needs: Needs = field(default_factory=lambda: Needs(colour="yuv"))

    def to(self, device, dtype):
        return self

    def run(self, window):
        return window.mean(1)


class Convolve:
    """Three random 3x3 convolutions and a shuffle to twice the size: a network, small."""

    reach = 0
    scale = 2
    needs = Needs(colour="rgb", receptive_px=3, multiple_of=4)

    def __init__(self, seed=1):
        source = torch.Generator().manual_seed(seed)
        shapes = [(16, 3), (16, 16), (12, 16)]
        self.weights = [0.2 * torch.randn((*s, 3, 3), generator=source) for s in shapes]

    def to(self, device, dtype):
        return self

    def run(self, window):
        x = window[:, 0]
        up = functional.interpolate(x, scale_factor=2, mode="nearest")
        for weight in self.weights[:-1]:
            x = functional.relu(functional.conv2d(x, weight, padding=1))
        x = functional.conv2d(x, self.weights[-1], padding=1)
        return up + 0.1 * functional.pixel_shuffle(x, 2)


def textured(length=12, width=72, height=48, format=vs.YUV420P8, seed=0):
    """A clip of moving random texture."""
    source = np.random.default_rng(seed)
    grain = source.normal(0, 1, (height + 64, width + 64))
    for _ in range(3):
        grain = (grain + np.roll(grain, 1, 0) + np.roll(grain, 1, 1)) / 2
    grain = (grain - grain.min()) / np.ptp(grain)
    blank = core.std.BlankClip(width=width, height=height, format=format, length=length)
    top = (1 << blank.format.bits_per_sample) - 1

    def paint(n, f):
        out = f.copy()
        for plane in range(out.format.num_planes):
            target = np.asarray(out[plane])
            h, w = target.shape
            part = grain[n : n + h, 2 * n : 2 * n + w] if plane == 0 else grain[:h, n : n + w]
            target[:] = (top * (0.15 + 0.6 * part)).astype(target.dtype)
        return out

    # Rendered once, so that what is tested asks for the same frames each time.
    painted = blank.std.ModifyFrame(blank, paint)
    return painted.std.SetFrameProps(_Matrix=6, _Primaries=6, _Transfer=6, _Range=0)


def numbered(length=16, step=10):
    """A clip whose frame n is flat, luma 20 + step * n."""
    frames = [
        core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=1,
                           color=[20 + step * n, 128, 128])
        for n in range(length)
    ]  # fmt: skip
    return core.std.Splice(frames).std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1)


def planes(clip, n):
    with clip.get_frame(n) as frame:
        return [np.asarray(frame[p]).astype(int).copy() for p in range(frame.format.num_planes)]


def whole(clip):
    return [planes(clip, n) for n in range(clip.num_frames)]


def worst(one, other):
    return max(
        int(np.abs(a - b).max())
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


STAGES = [Mean(1), Convolve(), Mean(2)]


def test_any_order_of_requests_gives_the_same_bits():
    straight = whole(chain(textured(), STAGES, batch=3))
    for seed in range(3):
        order = list(range(12)) * 2
        random.Random(seed).shuffle(order)
        clip = chain(textured(), STAGES, batch=3)
        for n in order:
            assert worst([planes(clip, n)], [straight[n]]) == 0


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_any_number_of_threads_gives_the_same_bits(threads):
    straight = whole(chain(textured(), STAGES, batch=2))
    before = core.num_threads
    core.num_threads = threads
    try:
        clip = chain(textured(), STAGES, batch=2)
        asked = [clip.get_frame_async(n) for n in [11, 0, 5, 3, 3, 11, 7, 1, 2, 0]]
        for n, future in zip([11, 0, 5, 3, 3, 11, 7, 1, 2, 0], asked, strict=True):
            with future.result() as frame:
                got = [np.asarray(frame[p]).astype(int) for p in range(3)]
            assert worst([got], [straight[n]]) == 0
    finally:
        core.num_threads = before


@pytest.mark.parametrize("batch", [2, 3, 5, 12])
def test_any_batch_is_within_a_code_value(batch):
    one = whole(chain(textured(), STAGES, batch=1))
    assert worst(one, whole(chain(textured(), STAGES, batch=batch))) <= 1


def test_a_chain_of_nothing_is_the_clip_itself():
    clip = textured()
    assert chain(clip, []) is clip


def test_a_stage_that_changes_nothing_gives_the_source_back():
    clip = textured(format=vs.YUV444P10)
    assert worst(whole(clip), whole(chain(clip, [Pick(0, 0)]))) == 0


@pytest.mark.parametrize(("reach", "at"), [(1, 0), (1, 2), (2, 0), (2, 4), (3, 1)])
@pytest.mark.parametrize("batch", [1, 4])
def test_windows_hold_the_neighbours_and_stop_at_the_ends(reach, at, batch):
    clip = textured()
    source = whole(clip.resize.Point(format=vs.YUV420P8))
    picked = whole(chain(clip, [Pick(reach, at)], batch=batch))
    for n in range(12):
        wanted = min(max(n + at - reach, 0), 11)
        assert np.abs(picked[n][0] - source[wanted][0]).max() <= 1, (n, wanted)


@pytest.mark.parametrize("batch", [1, 3])
def test_windows_stop_at_a_cut(batch):
    clip = textured(length=6, seed=1) + textured(length=6, seed=2)
    source = whole(clip)
    before = whole(chain(clip, [Pick(2, 0)], batch=batch))
    after = whole(chain(clip, [Pick(2, 4)], batch=batch))
    for n in range(12):
        first, last = (0, 5) if n < 6 else (6, 11)
        assert np.abs(before[n][0] - source[max(n - 2, first)][0]).max() <= 1, n
        assert np.abs(after[n][0] - source[min(n + 2, last)][0]).max() <= 1, n


def test_cuts_and_flashes_are_written_as_properties():
    clip = textured(length=6, seed=1) + textured(length=6, seed=2)
    for seen in (scenes(clip), chain(clip, [Mean(1)])):
        props = [dict(frame.props) for frame in seen.frames()]
        assert [n for n, p in enumerate(props) if p["_SceneChangePrev"]] == [6]
        assert [n for n, p in enumerate(props) if p["_SceneChangeNext"]] == [5]
        assert all(0 <= p["EncoreFlash"] <= 1 for p in props)
    assert worst(whole(clip), whole(scenes(clip))) == 0


def test_equal_light_brings_a_dimmed_neighbour_to_the_centre():
    still = textured(length=1, width=128, height=96) * 7
    dim = still.std.Expr(["x 16 - 0.6 * 16 +", "x 128 - 0.6 * 128 +", "x 128 - 0.6 * 128 +"])
    clip = still[:3] + dim[3] + still[4:]
    bright = planes(still, 0)[0]
    alike = planes(chain(clip, [Pick(1, 0, light=True)]), 4)[0]
    unlike = planes(chain(clip, [Pick(1, 0)]), 4)[0]
    assert np.abs(alike - bright).mean() < 0.15 * np.abs(unlike - bright).mean()


@pytest.mark.parametrize("tile_px", [16, 24, 40])
def test_tiled_equals_untiled(tile_px):
    stage = Convolve()
    window = torch.rand((2, 1, 3, 96, 120), generator=torch.Generator().manual_seed(0))
    tiled = run_tiled(
        stage.run, window, growth=(2, 2), receptive_px=3, tile_px=tile_px, multiple_of=4
    )
    assert (tiled - stage.run(window)).abs().max() < 1e-5


class Hungry(Convolve):
    """Runs out of memory above so many pixels at once."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels = pixels

    def run(self, window):
        if window.shape[0] * window.shape[-1] * window.shape[-2] > self.pixels:
            raise torch.OutOfMemoryError("made up")
        return super().run(window)


def test_out_of_memory_halves_the_batch_then_tiles_and_says_so_once(caplog):
    clip = textured(length=8, width=320, height=256)
    plain = whole(chain(clip, [Convolve()], batch=4))
    with caplog.at_level(logging.WARNING, logger="vsencore"):
        small = whole(chain(clip, [Hungry(190 * 190)], batch=4))
    assert worst(plain, small) <= 1
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "out of memory: 2 frames at once from here on",
        "out of memory: 1 frames at once from here on",
        "out of memory: tiles of 160 pixels from here on",
    ]


def test_tiles_can_be_asked_for_from_the_start(monkeypatch, caplog):
    clip = textured(length=4, width=320, height=256)
    plain = whole(chain(clip, [Convolve()], batch=4))
    monkeypatch.setenv("VSENCORE_TILE_PX", "128")
    with caplog.at_level(logging.WARNING, logger="vsencore"):
        small = whole(chain(clip, [Hungry(190 * 190)], batch=4))
    assert worst(plain, small) <= 1
    assert not caplog.records


@pytest.mark.parametrize("given", ["large", "4", "-64"])
def test_a_tile_that_is_none_is_an_error(monkeypatch, given):
    monkeypatch.setenv("VSENCORE_TILE_PX", given)
    with pytest.raises(vs.Error, match="VSENCORE_TILE_PX must be"):
        chain(textured(), [Convolve()])


def test_a_picture_that_never_fits_is_an_error_and_no_hang():
    clip = chain(textured(), [Hungry(10)])
    with pytest.raises(vs.Error, match="made up"):
        clip.get_frame(0)


class Apart:
    """Luma twice as large and chroma as it was, told apart; sees one pixel around."""

    reach, scale = 0, 2
    needs = Needs(colour="yuv", receptive_px=1, multiple_of=16)

    def __init__(self, whole=False, pixels=1 << 30):
        self.whole, self.pixels = whole, pixels

    def to(self, device, dtype):
        return self

    def run(self, window):
        if window.shape[0] * window.shape[-1] * window.shape[-2] > self.pixels:
            raise torch.OutOfMemoryError("made up")
        picture = functional.avg_pool2d(
            functional.pad(window[:, 0], (1, 1, 1, 1), "replicate"), 3, 1
        )
        luma = functional.interpolate(picture[:, :1], scale_factor=2, mode="nearest")
        return joined(luma, picture[:, 1:]) if self.whole else (luma, picture[:, 1:])


@pytest.mark.parametrize("pixels", [2 * 80 * 48, 80 * 48])
@pytest.mark.parametrize("format", [vs.YUV420P10, vs.YUV444P10, vs.RGB24])
def test_chroma_that_is_told_apart_outlives_smaller_bites(format, pixels):
    clip = textured(length=5, width=72, height=40)  # padded to 80 x 48
    plain, small = (
        whole(chain(clip, [stage], format=format, batch=4))
        for stage in (Apart(), Apart(pixels=pixels))
    )
    assert worst(plain, small) <= 1


def test_chroma_that_is_told_apart_outlives_tiles():
    clip = textured(length=2, width=200, height=176)
    plain, small = (
        whole(chain(clip, [stage], format=vs.RGB24)) for stage in (Apart(), Apart(pixels=128 * 128))
    )
    assert worst(plain, small) <= 1


@pytest.mark.parametrize("format", [vs.YUV420P10, vs.YUV422P10, vs.YUV444P10])
def test_chroma_that_is_told_apart_keeps_its_place(format):
    ramp = core.std.BlankClip(format=vs.YUV420P8, width=96, height=64, length=2)

    def draw(n, f):
        frame = f.copy()
        for plane in range(3):
            rows, columns = np.indices(np.asarray(frame[plane]).shape)
            np.asarray(frame[plane])[:] = 40 + 2 * columns + rows
        return frame

    clip = ramp.std.ModifyFrame(ramp, draw)
    apart, together = (whole(chain(clip, [Apart(w)], format=format)) for w in (False, True))
    inner = [[[p[16:-16, 16:-16] for p in frame] for frame in one] for one in (apart, together)]
    assert worst(*inner) <= 1


def test_a_stage_after_one_that_tells_chroma_apart_gets_whole_pictures():
    clip = textured(length=5)
    one, other = (whole(chain(clip, [Apart(w), Mean(1)], batch=2)) for w in (True, False))
    assert worst(one, other) <= 1


def test_overlapping_windows_share_what_a_stage_made():
    calls = []

    class Counted(Convolve):
        scale = 1

        def run(self, window):
            calls.append(len(window))
            return window[:, 0]

    clip = chain(textured(length=24), [Counted(), Mean(2)], batch=4)
    for n in range(24):
        clip.get_frame(n).close()
    assert sum(calls) == 24


def test_the_cache_is_bounded_in_bytes():
    place = Place(torch.device("cpu"), torch.float32, cache_bytes=400_000, work_bytes=1 << 30)
    made = Chain([Mean(2)], 1000, 1, place, lambda frames, colour: frames)
    for n in range(200):
        made.block(n, lambda at: Pictures("yuv", torch.zeros(1, 3, 48, 72)))
    kept = sum(p.frames.nbytes for p in made._cache._kept.values())
    assert kept <= 400_000


def give_back_free_memory():
    """What malloc holds for later in many small holes is no growth: let it go where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@pytest.mark.slow
def test_five_thousand_requests_leave_memory_as_it_was(monkeypatch):
    # Caches that are full at once, ours and VapourSynth's, so that what grows is no cache.
    small = replace(bridge.place("cpu", []), cache_bytes=2**20)
    monkeypatch.setattr(bridge, "place", lambda *_: small)
    monkeypatch.setattr(core, "max_cache_size", 16)
    blank = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=5000, keep=True)
    clip = chain(blank.std.SetFrameProps(_Matrix=1), [Mean(1)], batch=2)
    sizes = []
    for n, frame in enumerate(clip.frames(close=True)):
        if n in (2000, 4999):
            give_back_free_memory()
            sizes.append(psutil.Process().memory_info().rss)
        del frame
    assert sizes[1] - sizes[0] < 30 * 2**20


@pytest.mark.parametrize(
    "format",
    [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.YUV420P16, vs.GRAY8, vs.GRAY16, vs.YUV411P8],
)
def test_every_integer_format_goes_in_and_the_asked_for_one_comes_out(format):
    clip = chain(textured(length=2, format=format), [Convolve()], format=vs.YUV420P10, height=90)
    assert (clip.format.id, clip.width, clip.height) == (vs.YUV420P10, 136, 90)
    kept = chain(textured(length=2, format=format), [Mean(1)])
    assert kept.format.id == format
    assert kept.get_frame(1).format.id == format


def test_facts_of_the_source_pass_and_colour_is_true():
    clip = textured(length=2).std.SetFrameProps(_SARNum=16, _SARDen=15, Mine=7)
    props = chain(clip, [Convolve()], height=720, format=vs.YUV420P10).get_frame(1).props
    assert (props["Mine"], props["_SARNum"], props["_SARDen"]) == (7, 16, 15)
    assert (props["_Matrix"], props["_Primaries"], props["_Transfer"]) == (1, 1, 1)
    assert (props["_Range"], props["_FieldBased"], props["_ChromaLocation"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: chain(3, []), "chain: clip must be a VapourSynth video clip"),
        (lambda: chain(textured(), [3]), "a stage has reach, scale"),
        (lambda: chain(textured(), [Pick(-1, 0)]), "reach of Pick must be at least 0"),
        (lambda: chain(textured(), [], height=11), "height must be an even number"),
        (lambda: chain(textured(), [], width="a"), "width must be an even number"),
        (lambda: chain(textured(), [], batch=0), "batch must be a whole number"),
        (lambda: chain(textured(), [], device="cuda:99"), "not here"),
        (lambda: chain(textured(), [], device="gpu"), "device must be"),
        (lambda: chain(textured(), [], precision="fp8"), "precision must be"),
        (lambda: chain(textured(), [], matrix="602"), "matrix must be"),
        (lambda: chain(textured(), [Mean()], format=vs.RGBS), "YUV, Gray or RGB integers"),
        (lambda: chain(core.std.BlankClip(format=vs.RGBS), []), "integers of 8 to 16"),
        (lambda: chain(core.std.BlankClip(format=vs.YUV444PS), []), "integers of 8 to 16"),
        (lambda: chain(textured().std.SetFieldBased(2), [Mean()]), "must be progressive"),
        (
            lambda: chain(core.std.Splice([textured(2), textured(2, width=80)], mismatch=True), []),
            "size varies",
        ),
        (
            lambda: chain(
                core.std.Splice([textured(2), textured(2, format=vs.YUV444P8)], mismatch=True), []
            ),
            "format varies",
        ),
    ],
)
def test_a_wrong_argument_is_one_clear_line(make, hint):
    with pytest.raises(vs.Error, match=hint) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_stage_that_fails_names_its_fault():
    class Broken(Mean):
        def run(self, window):
            raise ValueError("the stage is broken")

    with pytest.raises(vs.Error, match="the stage is broken"):
        chain(textured(), [Broken()]).get_frame(0)


def test_several_chains_in_a_script_and_a_quick_exit():
    script = textwrap.dedent(
        """
        import sys; sys.path.insert(0, "tests/picture")
        import vapoursynth as vs
        from test_engine_chain import textured, chain, Convolve, Mean
        a = chain(textured(), [Convolve(), Mean(1)], batch=2)
        b = chain(a.resize.Spline36(72, 48), [Mean(2)], batch=3)
        c = vs.core.std.StackHorizontal([b, chain(textured(), [Mean(1)])])
        pending = [c.get_frame_async(n) for n in range(12)]
        c.get_frame(11).close()
        print("reached the end")
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "reached the end" in done.stdout
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_frames_keep_the_durations_of_the_source(batch):
    clip = textured(length=9)
    wanted = [(f.props["_DurationNum"], f.props["_DurationDen"]) for f in clip.frames()]
    made = chain(clip, [Mean(1)], batch=batch)
    assert [(f.props["_DurationNum"], f.props["_DurationDen"]) for f in made.frames()] == wanted
