"""The picture benchmark: its figures against closed forms, and its cases against the rules."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from numpy.typing import NDArray

_SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The benchmark's modules, which lie beside each other and in no package."""
    folders = [str(_SCRIPTS / "bench"), str(_SCRIPTS / "train")]
    sys.path[:0] = folders
    import judged
    import methods
    import metrics
    import motion
    import picture
    import sheets

    class Bench:
        pass

    found: Any = Bench()
    for module in (judged, methods, metrics, motion, picture, sheets):
        setattr(found, module.__name__, module)
    yield found
    for folder in folders:
        sys.path.remove(folder)


def codes(level: int, shape: tuple[int, ...] = (64, 96)) -> NDArray[np.uint16]:
    return np.full(shape, level, np.uint16)


def textured(moments: int, height: int, width: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(1)
    still = np.kron(rng.integers(200, 800, (height // 8, width // 8)), np.ones((8, 8)))
    return np.stack([np.roll(still, 2 * t, 1) for t in range(moments)]).astype(np.uint16)


def written(bench: Any, path: Path, luma: NDArray[np.uint16]) -> Any:
    """A film with this luma and grey chroma."""
    with path.open("wb") as file:
        for picture in luma:
            file.write(picture.tobytes())
            file.write(codes(512, (picture.size // 2,)).tobytes())
    return bench.metrics.Film(path, luma.shape[2], luma.shape[1])


def test_psnr_of_a_known_step_is_its_closed_form(bench: Any) -> None:
    square = bench.metrics.squared(codes(500), codes(508))
    assert square == 64
    assert bench.metrics.decibels(square) == pytest.approx(20 * np.log10(1023 / 8))


def test_psnr_of_known_noise_is_its_deviations(bench: Any) -> None:
    noise = np.random.default_rng(2).normal(0, 10, (400, 600))
    noisy = np.rint(500 + noise).astype(np.uint16)
    # Rounding adds a twelfth to the variance.
    wanted = 10 * np.log10(1023**2 / (100 + 1 / 12))
    found = bench.metrics.decibels(bench.metrics.squared(noisy, codes(500, (400, 600))))
    assert found == pytest.approx(wanted, abs=0.05)


def test_a_fault_that_stays_costs_nothing_in_time(bench: Any) -> None:
    truth = codes(500, (5, 64, 96))
    assert bench.metrics.temporal(truth + codes(20, (5, 64, 96)), truth) == bench.metrics.CAP_DB


def test_temporal_psnr_of_independent_noise_is_three_decibels_under_psnr(bench: Any) -> None:
    truth = codes(500, (8, 200, 300))
    noise = np.random.default_rng(3).normal(0, 12, truth.shape)
    noisy = np.rint(truth + noise).astype(np.uint16)
    apart = bench.metrics.decibels(bench.metrics.squared(noisy, truth)) - bench.metrics.temporal(
        noisy, truth
    )
    assert apart == pytest.approx(10 * np.log10(2), abs=0.05)


def test_the_truth_itself_gets_the_best_of_each_figure(bench: Any, tmp_path: Path) -> None:
    film = written(bench, tmp_path / "truth.yuv", textured(8, 192, 256))
    found = bench.metrics.compare(film, film, 2)
    assert found.psnr_y == found.psnr_uv == found.temporal == bench.metrics.CAP_DB
    assert found.ssim == 1
    assert min(found.vmaf, found.vmaf_neg) > 95
    assert found.errors == [0] * 4


def test_a_worse_picture_gets_less_of_each_figure(bench: Any, tmp_path: Path) -> None:
    luma = textured(8, 192, 256)
    truth = written(bench, tmp_path / "truth.yuv", luma)
    noise = np.random.default_rng(4)
    found = []
    for number, amount in enumerate((8, 40)):
        noisy = np.rint(luma + noise.normal(0, amount, luma.shape)).astype(np.uint16)
        film = written(bench, tmp_path / f"{number}.yuv", noisy)
        found.append(bench.metrics.compare(film, truth, 2))
    for key in ("psnr_y", "ssim", "vmaf", "vmaf_neg", "temporal"):
        assert getattr(found[0], key) > getattr(found[1], key)


def test_only_the_inner_moments_are_judged(bench: Any, tmp_path: Path) -> None:
    luma = textured(8, 192, 256)
    spoiled = luma.copy()
    spoiled[:2], spoiled[-2:] = 64, 64
    truth = written(bench, tmp_path / "truth.yuv", luma)
    found = bench.metrics.compare(written(bench, tmp_path / "out.yuv", spoiled), truth, 2)
    assert found.psnr_y == found.temporal == bench.metrics.CAP_DB
    assert found.ssim == 1


def test_a_result_of_another_length_is_refused(bench: Any, tmp_path: Path) -> None:
    truth = written(bench, tmp_path / "truth.yuv", textured(4, 64, 96))
    short = written(bench, tmp_path / "short.yuv", textured(3, 64, 96))
    with pytest.raises(ValueError, match="the truth"):
        bench.metrics.compare(short, truth, 1)


def test_flashes_and_what_follows_them_are_found_in_the_light(bench: Any) -> None:
    levels = [300.0 + n for n in range(24)]
    for moment in (4, 5, 12, 13, 20, 21):
        levels[moment] += 150
    found = bench.metrics.phases(levels)
    assert found["flash"] == [4, 5, 12, 13, 20, 21]
    assert found["after"] == [6, 7, 14, 15, 22, 23]
    assert found["calm"] == [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]


def test_a_lamp_that_comes_on_and_stays_is_no_flash(bench: Any) -> None:
    assert bench.metrics.flashes([200.0] * 12 + [400.0] * 12) == []


@pytest.mark.parametrize("quick", [False, True])
def test_cases_cover_every_system_light_and_damage(bench: Any, quick: bool) -> None:
    cases = [c for c in bench.judged.CASES if not quick or c.name in bench.judged.QUICK]
    assert {case.system for case in cases} == {"pal", "ntsc"}
    assert {case.light for case in cases} == {"calm", "show", "strobe"}
    assert {case.damage for case in cases} == {"light", "heavy"}
    assert len({case.name for case in cases}) == len(cases) == (3 if quick else 10)


def test_a_cases_recipe_is_what_it_says_and_always_the_same(bench: Any) -> None:
    for case in bench.judged.CASES:
        drawn = bench.judged.recipe(case)
        assert (drawn.system, drawn.light, drawn.damage) == (case.system, case.light, case.damage)
        assert drawn == bench.judged.recipe(case)
        assert drawn.interlaced
    assert len({bench.judged.recipe(case).seed for case in bench.judged.CASES}) == 10


def test_no_clip_that_training_reads_is_judged(bench: Any) -> None:
    for case in bench.judged.CASES:
        if case.clip != bench.judged.PHOTOS:
            assert not any(Path(case.clip).match(name) for name in bench.motion._CLIPS)


def test_made_motion_takes_the_photos_held_out_of_training(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def scene(rng: Any, moments: int, height: int, width: int, split: str = "train") -> Any:
        asked.append(split)
        return np.zeros((moments, height, width, 3), np.uint8)

    monkeypatch.setattr(bench.motion, "scene", scene)
    case = next(c for c in bench.judged.CASES if c.clip == bench.judged.PHOTOS)
    assert bench.judged.clean(case, 2, Path("nowhere")).shape == (2, 1080, 1920, 3)
    assert asked == ["val"] * 4


@pytest.mark.parametrize("number", [0, 2])
def test_a_case_is_the_same_bytes_each_time(bench: Any, number: int) -> None:
    case = bench.judged.CASES[number]
    pictures = np.random.default_rng(5).integers(0, 256, (4, 120, 160, 3), np.uint8)
    truth, recording = bench.judged.film(case, pictures)
    truth_again, recording_again = bench.judged.film(case, pictures)
    assert np.array_equal(truth, truth_again)
    for plane in "yuv":
        assert np.array_equal(getattr(recording, plane), getattr(recording_again, plane))


def test_a_case_that_is_made_is_read_back_whole(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = bench.judged.CASES[1]
    pictures = np.full((4, 120, 160, 3), 128, np.uint8)
    monkeypatch.setattr(bench.judged, "clean", lambda *_: pictures)
    bench.judged.make(case, 4, Path("nowhere"), tmp_path)
    about = json.loads((tmp_path / "about.json").read_text())
    assert (about["width"], about["height"], about["moments"]) == (160, 120, 4)
    truth = bench.metrics.Film(tmp_path / "truth.yuv", 160, 120)
    lit, _ = bench.judged.film(case, pictures)
    wanted = 64 + lit.astype(float) @ (0.299, 0.587, 0.114) * 876 / 255
    assert np.abs(truth.planes()[0] - wanted).max() <= 0.6
    clip = bench.methods.recording(tmp_path)
    assert (clip.width, clip.height, clip.num_frames) == (720, 576, 2)
    props = clip.get_frame(0).props
    assert props["_FieldBased"] == (2 if about["top_first"] else 1)
    assert props["_Matrix"] == 5


@pytest.mark.parametrize("top_first", [True, False])
def test_the_bob_of_a_still_picture_is_still(bench: Any, tmp_path: Path, top_first: bool) -> None:
    about = {"system": "pal", "top_first": top_first, "width": 720, "height": 576}
    about["interlaced"] = True
    (tmp_path / "about.json").write_text(json.dumps(about))
    slope = np.broadcast_to(np.linspace(40, 200, 576)[:, None], (576, 720))
    np.save(tmp_path / "y.npy", np.rint(slope)[None].astype(np.uint8))
    for name in "uv":
        np.save(tmp_path / f"{name}.npy", np.full((1, 288, 360), 128, np.uint8))
    frames = [np.asarray(f[0]).astype(float) for f in bench.methods.bob(tmp_path).frames()]
    assert len(frames) == 2
    for frame in frames:
        assert np.abs(frame[8:-8] / 4 - slope[8:-8]).max() < 0.8


def test_a_clip_of_arrays_holds_them(bench: Any) -> None:
    rng = np.random.default_rng(6)
    sizes = ((32, 48), (16, 24), (16, 24))
    frames = [[rng.integers(0, 256, size, np.uint8) for size in sizes] for _ in range(3)]
    clip = bench.methods.clip_of(frames, vs.YUV420P8, (25, 1))
    for wanted, frame in zip(frames, clip.frames(), strict=True):
        for number, plane in enumerate(wanted):
            assert np.array_equal(np.asarray(frame[number]), plane)


def test_the_sheet_looks_where_detail_moves(bench: Any, tmp_path: Path) -> None:
    luma = np.full((4, 720, 1280), 300, np.uint16)
    detail = textured(4, 160, 240)
    luma[:, 400:560, 896:1136] = detail
    spot = bench.sheets.find(written(bench, tmp_path / "truth.yuv", luma), 2)
    assert spot.left <= 896
    assert spot.top <= 400
    assert spot.left + 480 >= 1136
    assert spot.top + 360 >= 560


def test_gains_are_over_the_best_peer_of_each_figure(bench: Any) -> None:
    keys = [column.key for column in bench.picture.QUALITY]
    one, two = dict.fromkeys(keys, 1.0), dict.fromkeys(keys, 1.0)
    one["psnr_y"], two["vmaf"] = 30.0, 80.0
    best = bench.picture._best([one, two])
    assert (best["psnr_y"], best["vmaf"], best["ssim"]) == (30, 80, 1)
    over = bench.picture._over(dict.fromkeys(keys, 40.0), best)
    assert (over["psnr_y"], over["vmaf"]) == (10, -40)


@pytest.mark.parametrize("kind", ["fields", "frames"])
def test_the_network_alone_sees_no_neighbour(bench: Any, kind: Any) -> None:
    import alone
    import torch

    stage = alone.stage("base", kind)
    stage = stage.to(torch.device("cpu"), torch.float32)
    windows = torch.rand(2, stage.shape.pictures, 4, 32, 48, generator=torch.manual_seed(1))
    windows[1, stage.reach] = windows[0, stage.reach]
    with torch.inference_mode():
        luma, chroma = stage.run(windows)
    assert torch.equal(luma[0], luma[1])
    assert torch.equal(chroma[0], chroma[1])


def test_what_a_window_gains_is_told_of_each_phase_and_moment(
    bench: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"phases": {"flash": [4], "after": [5], "calm": [3]}}
    result = bench.picture.Result(bench.judged.CASES[0], about)
    errors = {"ours: base": [10.0, 40.0, 5.0], "alone: base": [20.0, 40.0, 4.0]}
    for name, squares in errors.items():
        result.errors[name] = squares
        result.phases[name] = bench.picture._by_phase(squares, about["phases"])
    result.phases[bench.picture.CONTROL] = {"flash": 20.0, "after": 5.0, "calm": 5.0}
    bench.picture._fairly(result)
    told = capsys.readouterr().out.splitlines()
    assert told[0].split()[-5:] == ["-3.01", "-3.01", "0.00", "+0.00", "+3.01"]
    assert told[1].split()[-5:] == ["3.01", "0.00", "-0.97", "-3.01", "-3.98"]
    assert told[2].endswith("4: +0.00")
    assert told[3].endswith("5: -0.97")


@pytest.mark.parametrize("name", ["Rt4ksr", "Fsrcnn"])
def test_a_published_enlarger_is_nearer_than_bicubic(bench: Any, name: str) -> None:
    if not (bench.motion.data() / "peers").exists():
        pytest.skip("the shared peers are not here")
    import peers
    import torch
    from PIL import Image

    pictures = []
    for path in bench.motion.photos("val"):
        with Image.open(path) as photo:
            pictures.append(photo.convert("L").crop((400, 300, 592, 492)))
    truth, small = (
        torch.stack([torch.from_numpy(np.array(one)) for one in sized])[:, None] / 255
        for sized in (pictures, [p.resize((96, 96), Image.Resampling.BICUBIC) for p in pictures])
    )
    rgb = name == "Rt4ksr"
    taken = torch.cat([small, small, small] if rgb else [small, 0 * small, 0 * small], 1)
    stage = getattr(peers, name)(bench.motion.data() / "peers")
    stage = stage.to(torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        ours = stage.run(taken[:, None])
    ours = ours.mean(1, keepdim=True) if rgb else ours[:, :1]
    bicubic = torch.nn.functional.interpolate(small, scale_factor=2, mode="bicubic")
    errors = [(one - truth)[..., 8:-8, 8:-8].square().mean() for one in (ours, bicubic)]
    assert errors[0] < 0.95 * errors[1]
