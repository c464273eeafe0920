"""The timeline of a made show tells what its lamps did, when, and nothing else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
import vapoursynth as vs

from encore.facts import Borders, ColourFact, PictureFacts
from encore.glances import Glance, glance, tracks
from encore.hues import hue_of, name_of
from encore.lights import Timeline, of_clip, summary, timeline
from encore.progress import reporter
from vsencore.engine.colour import Signal

Lamps = Callable[[int], float | tuple[float, float, float]]

RATE = Fraction(25)
RGB = Signal(family="RGB", bits=8, full_range=True)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stage(seed: int) -> np.ndarray:
    """A painted stage, linear light (96, 128, 3): big shapes of its own over small ones."""
    random = np.random.default_rng(seed)
    coarse = np.kron(random.random((6, 8)), np.ones((16, 16)))
    fine = np.kron(random.random((24, 32)), np.ones((4, 4)))
    return np.repeat((0.02 + 0.25 * coarse * (0.5 + 0.5 * fine))[..., None], 3, 2)


def show(count: int, lamps: Lamps, seed: int = 1, *, start: int = 0) -> Iterator[Glance]:
    """A still stage whose light is multiplied at each frame, with a little noise."""
    random, painted = np.random.default_rng(seed), stage(seed)
    for n in range(start, start + count):
        codes = 255 * np.clip(painted * np.asarray(lamps(n)), 0, 1) ** (1 / 2.4)
        noisy = np.clip(codes + random.normal(0, 1, codes.shape), 0, 255).astype(np.uint8)
        yield glance([np.ascontiguousarray(noisy[..., c]) for c in range(3)], RGB, Borders())


def told(looked: Iterator[Glance], rate: Fraction = RATE) -> Timeline:
    return timeline(looked, rate)


def kinds(found: Timeline) -> list[tuple[str, int, int]]:
    """What happened, but for washes."""
    return [(e.kind, e.first, e.last) for e in found.events if e.kind != "wash"]


def joined(*parts: Iterator[Glance]) -> Iterator[Glance]:
    for part in parts:
        yield from part


def test_a_calm_show_has_no_event_and_one_state() -> None:
    found = told(show(60, lambda n: 1.0))
    assert kinds(found) == []
    assert [(s.kind, s.first, s.last) for s in found.states] == [("steady", 0, 59)]


def test_a_cut_begins_a_shot_and_a_state() -> None:
    found = told(joined(show(30, lambda n: 1.0, seed=1), show(30, lambda n: 1.0, seed=2)))
    assert found.cuts == [30]
    assert [(s.shot, s.first, s.last) for s in found.states] == [(0, 0, 29), (1, 30, 59)]


@pytest.mark.parametrize("at", [63, 64, 65, 127, 128])
def test_cuts_are_found_wherever_the_blocks_of_frames_end(at: int) -> None:
    seen = tracks(joined(show(at, lambda n: 1.0, seed=1), show(140 - at, lambda n: 1.0, seed=2)))
    assert seen.cuts == [at]
    assert len(seen) == 140


def test_a_single_flash_is_a_flash_and_no_cut_and_no_lamp() -> None:
    found = told(show(60, lambda n: 4.0 if n in (30, 31) else 1.0))
    assert kinds(found) == [("flash", 30, 31)]
    assert found.events[0].stops == pytest.approx(2.0, abs=0.4)


@pytest.mark.parametrize("hertz", [5.0, 7.3, 10.0, 11.8])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(50)])
def test_the_rate_of_a_strobe_is_told(hertz: float, rate: Fraction) -> None:
    duty = max(0.3, hertz / float(rate))
    first, count = 20, 100

    def lamps(n: int) -> float:
        if not first <= n < first + count:
            return 0.4
        return 3.0 if (n - first) * hertz / float(rate) % 1 < duty else 0.4

    found = told(show(first + count + 20, lamps), rate)
    strobes = found.of("strobe")
    assert len(strobes) == 1
    assert strobes[0].rate_hz == pytest.approx(hertz, rel=0.03)
    assert strobes[0].first == first
    assert found.cuts == []
    assert found.of("lamp") == []


def test_flashes_at_odd_times_are_no_strobe() -> None:
    found = told(show(120, lambda n: 4.0 if n in (20, 27, 31, 44, 46, 70, 101) else 1.0))
    assert [kind for kind, _, _ in kinds(found)] == ["flash"] * 7


def test_a_lamp_that_changes_for_good_is_told_and_parts_the_shot() -> None:
    found = told(show(80, lambda n: (1.0, 0.9, 0.8) if n < 40 else (0.1, 0.2, 1.6)))
    assert kinds(found) == [("lamp", 40, 40)]
    assert found.of("lamp")[0].name == "blue"
    assert [(s.shot, s.first, s.last) for s in found.states] == [(0, 0, 39), (0, 40, 79)]


def test_a_blackout_is_told_with_its_frames() -> None:
    found = told(show(80, lambda n: 0.0 if 30 <= n < 50 else 1.0))
    assert kinds(found) == [("blackout", 30, 49)]
    assert [s.kind for s in found.states] == ["steady", "blackout", "steady"]


@pytest.mark.parametrize("up", [True, False])
def test_a_slow_fade_is_told_with_its_direction(up: bool) -> None:
    def lamps(n: int) -> float:
        share = min(max((n - 30) / 50, 0.0), 1.0)
        return 0.05 + 0.95 * (share if up else 1 - share)

    found = told(show(110, lamps))
    (fade,) = found.of("fade")
    assert kinds(found) == [("fade", fade.first, fade.last)]
    assert fade.first == pytest.approx(32, abs=10)
    assert fade.last == pytest.approx(78, abs=10)
    assert fade.stops is not None
    assert (fade.stops > 2.0) if up else (fade.stops < -2.0)


def test_washes_have_their_colours_and_stretches() -> None:
    found = told(show(150, lambda n: (0.05, 0.08, 1.0) if n < 75 else (1.0, 0.1, 0.05)))
    assert [(w.name, w.first, w.last) for w in found.of("wash")] == [
        ("blue", 0, pytest.approx(74, abs=4)),
        ("red", pytest.approx(75, abs=4), 149),
    ]


def test_white_light_is_no_wash() -> None:
    assert told(show(60, lambda n: (1.0, 0.9, 0.8))).of("wash") == []


def test_a_flash_does_not_change_what_is_told_of_a_state() -> None:
    calm = told(show(60, lambda n: 1.0)).states[0]
    flashed = told(show(60, lambda n: 5.0 if n % 20 == 10 else 1.0)).states
    assert len(flashed) == 1
    assert flashed[0].luminance == pytest.approx(calm.luminance, rel=0.02)
    assert flashed[0].percentiles == pytest.approx(calm.percentiles, rel=0.1, abs=1e-3)


def test_percentiles_are_those_of_the_pictures_own_light() -> None:
    ramp = np.repeat(np.linspace(0, 255, 512).round().astype(np.uint8)[None], 256, 0)
    seen = glance([ramp] * 3, RGB, Borders())
    assert seen.percentiles == pytest.approx((np.array([1, 5, 50, 95, 99]) / 100) ** 2.4, abs=0.03)
    assert seen.dark == pytest.approx(0.01 ** (1 / 2.4), abs=0.01)


def test_borders_are_left_out() -> None:
    frame = np.zeros((240, 320), np.uint8)
    frame[40:200, 20:300] = 200
    seen = glance([frame] * 3, RGB, Borders(left=20, right=20, top=40, bottom=40))
    assert seen.dark == 0
    assert float(seen.mini.min()) > 0.7


def test_times_are_on_the_sources_clock_and_ends_follow_the_last_frame() -> None:
    found = timeline(show(60, lambda n: 4.0 if n == 30 else 1.0), RATE, start_s=10.0)
    (flash,) = found.of("flash")
    assert (flash.start_s, flash.end_s) == (11.2, 11.24)


def test_a_timeline_comes_back_from_json() -> None:
    found = told(show(60, lambda n: 4.0 if n == 30 else 1.0))
    assert Timeline.model_validate_json(found.model_dump_json()) == found


def test_what_is_drawn_stays_small_and_keeps_a_flash() -> None:
    calm = next(show(1, lambda n: 0.5))
    bright = next(show(1, lambda n: 3.0))
    found = told(bright if n == 5000 else calm for n in range(9001))
    track = found.track
    assert track.every == 3
    assert len(track.mean) == len(track.low) == len(track.high) == len(track.colour) == 3001
    assert track.high[5000 // 3] > 2 * track.low[5000 // 3]


def test_memory_grows_by_a_few_hundred_bytes_a_frame() -> None:
    one = next(show(1, lambda n: 1.0))

    def peak(count: int) -> int:
        tracemalloc.start()
        told(one for _ in range(count))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(200)
    assert (peak(6000) - peak(2000)) / 4000 < 600


def test_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="no frame"):
        told(iter(()))


def test_a_clip_is_looked_at_frame_by_frame_in_its_own_colour() -> None:
    red = vs.core.std.BlankClip(
        format=vs.RGB24, width=320, height=240, length=60, fpsnum=25, color=[200, 10, 10]
    ).resize.Bicubic(format=vs.YUV420P8, matrix=5)
    found = of_clip(red, facts(), reporter("none"))
    assert found.frames == 60
    assert [wash.name for wash in found.of("wash")] == ["red"]
    assert found.states[0].luminance == pytest.approx(0.2126 * (200 / 255) ** 2.4, rel=0.05)


def test_a_summary_tells_of_all_kinds() -> None:
    rows = dict(summary(told(show(60, lambda n: (0.1, 0.1, 2.0 if n == 30 else 1.0)))))
    assert "0 cuts" in rows["light"]
    assert "blue 100%" in rows["washes"]


# CIE 15 values of the sRGB primaries and of their mixtures.
@pytest.mark.parametrize(
    ("linear", "hue", "name"),
    [
        ((1, 0, 0), 40.0, "red"),
        ((0, 1, 0), 136.0, "green"),
        ((0, 0, 1), 306.3, "blue"),
        ((1, 1, 0), 102.9, "yellow"),
        ((0, 1, 1), 196.4, "cyan"),
        ((1, 0, 1), 328.2, "magenta"),
        ((0.1, 0, 0), 40.0, "red"),
    ],
)
def test_a_primary_has_its_hue_and_its_name(
    linear: tuple[float, float, float], hue: float, name: str
) -> None:
    assert hue_of(linear)[0] == pytest.approx(hue, abs=0.5)
    assert name_of(linear) == name


def facts() -> PictureFacts:
    def fact(value: str) -> ColourFact:
        return ColourFact(value=value, tagged=True, why="made")

    return PictureFacts(
        stream=0,
        codec="made",
        width=320,
        height=240,
        bits=8,
        pixel_format="yuv420p",
        sample_aspect=Fraction(1),
        sample_aspect_tagged=True,
        display_aspect=Fraction(4, 3),
        rate=RATE,
        rate_constant=True,
        rate_why="made",
        frames=60,
        start_s=0.0,
        duration_s=2.4,
        matrix=fact("bt470bg"),
        transfer=fact("bt709"),
        primaries=fact("bt470bg"),
        range=fact("tv"),
        chroma_location=fact("left"),
        flagged="progressive",
        structure="progressive",
        field_order=None,
        structure_why="made",
        structure_confidence=1.0,
    )
