"""Cuts, flashes and equal light, on shows that were made and on real clips that were joined."""

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import shows
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shows import Dice, Show
from torch import Tensor

from vsencore.engine import light
from vsencore.engine.light import LOOK

_ROOT = Path(__file__).resolve().parents[2]
_CLIPS = Path(os.environ.get("ENCORE_DATA", _ROOT.parent / "shared" / "data")) / "clips"
SEEDS = range(30)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Pictures of 24 x 32 gain nothing from threads, and lose much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


def window(minis: Tensor, first: int, count: int) -> Tensor:
    """Miniatures first .. first + count - 1, those beyond an end repeated."""
    return minis[torch.arange(first, first + count).clamp(0, len(minis) - 1)]


def flags(minis: Tensor, n: int) -> light.Flags:
    return light.flags(window(minis, n - LOOK, 2 * LOOK + 1))


def cuts(minis: Tensor) -> list[int]:
    gaps = range(1, len(minis))
    return [n for n in gaps if light.cut_between(window(minis, n - LOOK, 2 * LOOK))]


def shrunk(frames: Tensor) -> Tensor:
    return torch.cat([light.miniature(frame[None]) for frame in frames])


@cache
def real(name: str, first: int = 0, count: int = 12) -> Tensor:
    """Frames (N, 3, 144, 192) of a shared clip."""
    path = _CLIPS / name
    if not path.exists():
        pytest.skip(f"no {name}: set ENCORE_DATA to the data folder")
    chosen = f"trim=start_frame={first}:end_frame={first + count},scale=192:144:flags=area"
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    shaped = ["-vf", chosen, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run([*ffmpeg, *shaped], check=True, capture_output=True).stdout
    drawn = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(-1, 144, 192, 3)
    return drawn.permute(0, 3, 1, 2) / 255


def psnr_db(one: Tensor, other: Tensor) -> float:
    return float(-10 * (one - other).square().mean().log10())


# Cuts and flashes.


@pytest.mark.parametrize("kind", shows.WITHOUT_CUT, ids=lambda kind: kind.__name__)
def test_no_lamp_and_no_motion_makes_a_cut(kind: Callable[[Dice], Show]) -> None:
    wrong = {seed: cuts(shrunk(kind(Dice(seed)).frames)) for seed in SEEDS}
    assert not {seed: found for seed, found in wrong.items() if found}


@pytest.mark.parametrize("kind", shows.WITH_CUT, ids=lambda kind: kind.__name__)
def test_a_cut_is_found_where_it_is(kind: Callable[[Dice], Show]) -> None:
    wrong = {}
    for seed in SEEDS:
        show = kind(Dice(seed))
        found = cuts(shrunk(show.frames))
        near = len(found) == 1 and show.either and abs(found[0] - show.cuts[0]) <= 1
        if found != show.cuts and not near:
            wrong[seed] = (show.cuts, found)
    assert not wrong


def followed(seed: int, jolt: int, *, cut: bool) -> Tensor:
    """Miniatures: a singer stays in the picture; between two of them the stage behind jumps aside.

    With `cut` the same happens, and it is another singer before another stage.
    """
    dice = Dice(seed)
    stages, singers = (0.3 + 0.1 * dice.noise(2, 3, 24, wide) for wide in (40, 13))
    left = dice.whole(4, 15)
    drawn = stages[0, None, :, :, :32].repeat(2 * LOOK, 1, 1, 1)
    drawn[LOOK:] = stages[int(cut), :, :, jolt : jolt + 32]
    drawn[..., left : left + 13] = singers[0]
    drawn[LOOK:, ..., left : left + 13] = singers[int(cut)]
    return drawn


@pytest.mark.parametrize("jolt", [4, 5])
@pytest.mark.parametrize("seed", range(12))
def test_a_stage_that_passes_behind_a_followed_singer_is_no_cut(seed: int, jolt: int) -> None:
    assert not light.cut_between(followed(seed, jolt, cut=False))
    assert light.cut_between(followed(seed, jolt, cut=True))


# The frames that begin a shot, by eye.
@pytest.mark.parametrize(
    ("name", "count", "seen"),
    [
        ("bikes_640x272.mp4", 250, [30, 76, 137, 187, 242]),
        ("stage_hamilton_whitehouse_640x360.mp4", 200, [20, 82]),
    ],
)
def test_a_real_recording_has_its_cuts_and_no_more(name: str, count: int, seen: list[int]) -> None:
    assert cuts(shrunk(real(name, 0, count))) == seen


@pytest.mark.parametrize(
    "name",
    ["sam2_juggle_720p24.mp4", "cockatoo_720p20.mp4", "dog_grass_360p.mp4"],
)
def test_a_real_shot_has_no_cut(name: str) -> None:
    assert cuts(shrunk(real(name, 0, 200))) == []


def test_flashes_in_a_real_shot_are_flashes_and_the_cut_to_another_is_a_cut() -> None:
    frames = torch.cat(
        [real("stage_hamilton_whitehouse_640x360.mp4"), real("room_people_1080p.mp4")]
    )
    gain = torch.ones(len(frames), 1, 1, 1)
    for n in (5, 11, 16, 17):  # 11 is the last frame before the cut
        gain[n] = 2.5
    minis = shrunk((frames * gain).clamp(0, 1))
    assert cuts(minis) == [12]
    assert all(flags(minis, n).flash > 0.5 for n in (5, 16, 17))
    assert all(flags(minis, n).flash < 0.1 for n in (2, 8, 14, 20))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_single_flash_is_told_and_nothing_else(seed: int) -> None:
    dice = Dice(seed)
    scene = shows.Scene(dice, exposure=0.3)
    frames = [scene.taken(scene.linear(n, lamps=3.0 if n == 6 else 1.0)) for n in range(12)]
    minis = shrunk(torch.stack(frames))
    told = [flags(minis, n).flash for n in range(12)]
    assert told[6] > 0.5
    assert max(told[:6] + told[7:]) < 0.1


def test_a_lamp_that_stays_on_is_no_flash() -> None:
    scene = shows.Scene(Dice(1), exposure=0.3)
    frames = [scene.taken(scene.linear(n, lamps=3.0 if n >= 6 else 1.0)) for n in range(12)]
    minis = shrunk(torch.stack(frames))
    assert max(flags(minis, n).flash for n in range(12)) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_what_ends_a_shot_for_one_frame_begins_it_for_the_next(seed: int) -> None:
    minis = shrunk(shows.cut_in_strobe(Dice(seed)).frames)
    told = [flags(minis, n) for n in range(len(minis))]
    assert [one.cut_next for one in told[:-1]] == [one.cut_prev for one in told[1:]]


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_the_ends_of_a_clip_are_no_cuts(length: int) -> None:
    minis = shrunk(shows.calm(Dice(3)).frames[:length])
    assert not flags(minis, 0).cut_prev
    assert not flags(minis, length - 1).cut_next


def test_a_cut_one_frame_from_the_end_is_found() -> None:
    show = shows.hard_cut(Dice(2))
    (at,) = show.cuts
    assert cuts(shrunk(show.frames[: at + 1])) == [at]


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_blank_frames_have_no_flag(level: float) -> None:
    blank = torch.full((2 * LOOK + 1, 3, 24, 32), level)
    assert light.flags(blank) == light.Flags(False, False, 0.0)


# Windows.


@given(
    n=st.integers(0, 60),
    reach=st.integers(0, 6),
    cuts=st.sets(st.integers(1, 60)),
    length=st.integers(61, 80),
)
@settings(max_examples=300, deadline=None)
def test_a_window_never_crosses_a_cut(n: int, reach: int, cuts: set[int], length: int) -> None:
    def shot(at: int) -> int:
        return sum(cut <= at for cut in cuts)

    indices = light.window_indices(n, reach, cuts, length)
    assert len(indices) == 2 * reach + 1
    assert indices[reach] == n
    for wanted, got in zip(range(n - reach, n + reach + 1), indices, strict=True):
        same_shot = [at for at in range(length) if shot(at) == shot(n)]
        assert got == min(same_shot, key=lambda at: abs(at - wanted))


# Equal light.


def washed(frames: Tensor, seed: int) -> Tensor:
    """The frames under a coloured wash that falls off across the picture, and a little veil."""
    dice = Dice(seed)
    height, width = frames.shape[-2:]
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None]
    middle = dice.uniform(-0.7, 0.7)
    fall = torch.exp(-((x - middle) ** 2 + y**2) / 1.5)
    colour = dice.colour(0.3)[:, None, None]
    return frames * (0.35 + 0.6 * colour * fall) + 0.03 * dice.colour(0.3)[:, None, None]


def equalised(neighbour: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """The neighbour in the centre's light, and the confidence at full size."""
    frames = torch.stack([neighbour, centre, neighbour])
    lit, trust = light.equalise(frames, light.miniature(frames))
    grown = torch.nn.functional.interpolate(trust, frames.shape[-2:], mode="bilinear")
    return lit[0], grown[0, 0]


def still(seed: int, exposure: float = 0.5) -> Tensor:
    scene = shows.Scene(Dice(seed), exposure=exposure)
    return scene.linear(0).clamp(0, 0.85) ** (1 / 2.2)


@pytest.mark.parametrize("seed", range(10))
def test_a_coloured_wash_is_undone(seed: int) -> None:
    clean = still(seed)
    dim = washed(clean, seed)
    for neighbour, centre in ((dim, clean), (clean, dim)):
        lit, trust = equalised(neighbour, centre)
        assert psnr_db(lit, centre) > max(30.0, psnr_db(neighbour, centre) + 10)
        assert trust.mean() > 0.8


@pytest.mark.parametrize("seed", range(10))
def test_motion_is_not_made_worse_where_it_is_trusted(seed: int) -> None:
    scene = shows.Scene(Dice(seed))
    scene.drift = scene.drift * 3
    one, other = scene.linear(0).clamp(0, 1) ** (1 / 2.2), scene.linear(2).clamp(0, 1) ** (1 / 2.2)
    lit, trust = equalised(other, one)
    sure = trust > 0.5
    before, after = (other - one)[:, sure].square().mean(), (lit - one)[:, sure].square().mean()
    assert after <= before * 1.05


@pytest.mark.parametrize("seed", range(10))
def test_light_is_made_equal_in_motion_too(seed: int) -> None:
    scene = shows.Scene(Dice(seed), exposure=0.6)
    one, other = (scene.linear(n).clamp(0, 0.85) ** (1 / 2.2) for n in (0, 1))
    lit, trust = equalised(washed(other, seed), one)
    sure = trust > 0.5
    assert sure.float().mean() > 0.3
    # The truth is the moved frame without the wash.
    left = (lit - other)[:, sure].square().mean()
    assert left < 0.2 * (washed(other, seed) - other)[:, sure].square().mean()


def test_a_new_shadow_is_not_trusted_and_the_rest_is() -> None:
    clean = still(4)
    shadowed = clean.clone()
    shadowed[:, 30:66, 50:58] *= 0.25  # narrower than the reach of the map
    _, trust = equalised(clean, shadowed)
    assert trust[36:60, 50:58].mean() < 0.35
    assert trust[:, 100:].mean() > 0.9


def test_what_was_lost_in_white_is_not_trusted() -> None:
    clean = still(5)
    burnt = clean.clone()
    burnt[:, :, :48] = 1.0
    _, trust = equalised(burnt, clean)
    assert trust[:, :40].max() < 0.1
    assert trust[:, 64:].mean() > 0.9


# Leaning on itself.


def handed(neighbour: Tensor, centre: Tensor, below: float = 0.0) -> Tensor:
    """The pictures (3, 3, H, W) of a window that a network gets: neighbour, centre, neighbour."""
    frames = torch.stack([neighbour, centre, neighbour])
    windows = torch.cat([frames, frames[:, :1]], 1)[None]
    light.fill_trust(windows, light.miniature(frames)[None], below=below)
    return windows[0, :, :3]


@pytest.mark.parametrize("seed", range(5))
def test_where_a_flash_casts_shadows_a_frame_leans_on_itself(seed: int) -> None:
    dim = still(seed) * 0.4
    flash = still(seed)
    for left in (20, 60, 100):
        flash[:, 20:70, left : left + 10] = dim[:, 20:70, left : left + 10]
    got, (lit, trust) = handed(dim, flash)[0], equalised(dim, flash)
    doubted = trust < 0.2
    assert doubted.any()
    assert (got - flash)[:, doubted].abs().sum() < 0.5 * (lit - flash)[:, doubted].abs().sum()
    sure = trust > 0.95
    assert torch.equal(got[:, sure], lit[:, sure])


@pytest.mark.parametrize("seed", range(10))
def test_what_only_moves_is_never_leant_on(seed: int) -> None:
    scene = shows.Scene(Dice(seed))
    one, other = (scene.linear(n).clamp(0, 1) ** (1 / 2.2) for n in (0, 2))
    assert torch.equal(handed(other, one)[0], equalised(other, one)[0])


@pytest.mark.parametrize("seed", range(5))
def test_a_flash_that_is_understood_keeps_its_neighbours_whatever_it_raises(seed: int) -> None:
    clean = still(seed)
    lit, trust = equalised(clean * 0.2, clean)
    assert trust.mean() < 0.6  # noise is raised five times, and that is told
    assert psnr_db(handed(clean * 0.2, clean)[0], lit) > 45


@pytest.mark.parametrize("below", [0.5, -0.5])
def test_the_other_parity_of_a_leaning_frame_has_its_own_lines(below: float) -> None:
    slope = torch.linspace(0.2, 0.8, 96)[:, None].expand(3, 96, 128)
    window = torch.stack([torch.zeros_like(slope), slope, torch.ones_like(slope)])
    kept = torch.tensor([0.0, 1.0, 1.0])[:, None, None, None].expand(3, 1, 24, 32)
    light._lean(window, kept, below)
    step = 0.6 / 95
    off = window[0] - slope - below * step
    assert off[:, 8:-8].abs().max() < 0.05 * step
    assert torch.equal(window[1], slope)
    assert bool((window[2] == 1).all())


@pytest.mark.parametrize("level", [None, 0.0, 1.0])
def test_equal_frames_come_back_bit_for_bit(level: float | None) -> None:
    frame = still(6) if level is None else torch.full((3, 90, 130), level)
    minis = light.miniature(frame[None])
    gain, offset, trust = light.light_map(minis, minis)
    assert bool((gain == 1).all())
    assert bool((offset == 0).all())
    assert bool((trust == 1).all())
    assert torch.equal(light.apply(frame[None], gain, offset)[0], frame)


def test_the_centre_comes_back_bit_for_bit_and_batches_change_nothing() -> None:
    frames = shows.single_flash(Dice(7)).frames
    windows = torch.stack([frames[3:8], frames[5:10]])
    minis = torch.stack([shrunk(one) for one in windows])
    lit, trust = light.equalise(windows, minis)
    assert torch.equal(lit[:, 2], windows[:, 2])
    assert bool((trust[:, 2] == 1).all())
    alone, _ = light.equalise(windows[1], minis[1])
    assert torch.allclose(lit[1], alone, atol=1e-5)


@given(seed=st.integers(0, 10_000), depth=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_gains_are_bounded_and_confidence_is_a_share(seed: int, depth: float) -> None:
    source = torch.Generator().manual_seed(seed)
    one, other = torch.rand(2, 3, 24, 32, generator=source)
    gain, offset, trust = light.light_map(one * depth, other)
    assert float(gain.min()) >= 1 / 8 - 1e-4
    assert float(gain.max()) <= 8 + 1e-4
    assert bool(offset.isfinite().all())
    assert 0 <= float(trust.min()) <= float(trust.max()) <= 1


def test_a_miniature_is_the_mean_of_what_it_covers_at_any_size() -> None:
    for height, width in ((48, 64), (480, 720), (1080, 1920)):
        ramp = torch.linspace(0, 1, width).expand(1, 3, height, width)
        mini = light.miniature(ramp)
        assert mini.shape == (1, 3, 24, 32)
        expected = (np.arange(32) + 0.5) / 32
        assert np.abs(mini[0, 0, 5].numpy() - expected).max() < 0.02
