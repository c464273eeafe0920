"""The lock: a result's light and colours become its source's, its detail stays, no halo comes."""

import numpy as np
import pytest
import torch
import vapoursynth as vs
from scipy.ndimage import gaussian_filter
from test_engine_chain import planes, textured, worst

import vsencore
from vsencore.engine.bridge import chain
from vsencore.engine.scaling import resize
from vsencore.engine.stage import Needs
from vsencore.low_band import LockStage

core = vs.core
PX = 2  # how much larger a result is than its source


def drawn(pictures, format=vs.YUV444P16, **props):
    """A clip of arrays (planes, height, width): Y' 0..1, and Cb, Cr -0.5..0.5."""
    blank = core.std.BlankClip(
        format=format, width=pictures[0].shape[2], height=pictures[0].shape[1], length=len(pictures)
    )

    def paint(n, f):
        out = f.copy()
        for number, plane in enumerate(pictures[n]):
            zero, span = (4096, 56064) if number == 0 else (32768, 57344)
            np.asarray(out[number])[:] = np.clip(np.rint(plane * span + zero), 0, 65535)
        return out

    facts = {"_Matrix": 1, "_Primaries": 1, "_Transfer": 1, "_Range": 0, "_FieldBased": 0} | props
    return blank.std.ModifyFrame(blank, paint).std.SetFrameProps(**facts)


def unit(clip, n=0):
    deep = planes(clip, n)
    return np.stack([(deep[0] - 4096) / 56064, *((p - 32768) / 57344 for p in deep[1:])])


def scene(seed=0, height=96, width=128, sharp=1.5):
    """A picture of many scales with colours, at the result's size."""
    dice = np.random.default_rng(seed)
    planes = []
    for share in (0.5, 0.25, 0.25):
        fine, coarse = (
            gaussian_filter(dice.normal(0, 1, (height, width)), sigma, mode="wrap")
            for sigma in (sharp, 12)
        )
        planes.append(share * (0.2 * fine / fine.std() + 0.25 * coarse / coarse.std()))
    planes[0] = planes[0] + 0.45
    return np.clip(np.stack(planes), -0.45, 0.95)


def smaller(picture):
    """What a camera of half the resolution has of it."""
    c, h, w = picture.shape
    return picture.reshape(c, h // PX, PX, w // PX, PX).mean((2, 4))


def low(picture, sigma=12):
    return gaussian_filter(picture, (0, sigma, sigma), mode="nearest")


def test_strength_0_gives_the_result_back_the_same_samples():
    result, source = drawn([scene(1)]), drawn([smaller(scene(2))])
    made = vsencore.lock(result, source, 0)
    assert worst([planes(made, 0)], [planes(result, 0)]) == 0


def test_light_and_colour_that_were_changed_become_the_sources_again():
    truth = scene(3)
    changed = (
        truth * np.array([0.9, 1.2, 0.85])[:, None, None]
        + np.array([0.03, 0.02, -0.03])[:, None, None]
    )
    made = unit(vsencore.lock(drawn([changed]), drawn([smaller(truth)])))
    before, after = (np.abs(low(p) - low(truth)) for p in (changed, made))
    assert before.mean() > 0.01
    assert after.mean() < 0.001
    assert after.max() < 0.006


def test_half_the_strength_takes_back_half_of_the_change():
    truth = scene(3)
    changed = truth + 0.04
    made = unit(vsencore.lock(drawn([changed]), drawn([smaller(truth)]), 0.5))
    assert np.abs(low(made) - low(truth) - 0.02).max() < 0.004


def test_detail_that_a_result_has_and_its_source_has_not_stays():
    truth = scene(4, sharp=8)
    y, x = np.mgrid[:96, :128]
    fine = 0.05 * ((x + y) % 2 - 0.5)
    made = unit(vsencore.lock(drawn([truth + fine]), drawn([smaller(truth)])))
    kept = made[0] - gaussian_filter(made[0], 2)
    assert (kept * fine).sum() / (fine * fine).sum() == pytest.approx(1, abs=0.05)


def test_no_halo_stands_around_a_lamp_that_the_result_had_dimmed():
    y, x = np.mgrid[:160, :160]
    lamp = np.clip(40 - np.hypot(y - 80, x - 80), 0, 1) * 0.9
    truth = np.stack([lamp, 0.05 * lamp, -0.05 * lamp])
    made = unit(vsencore.lock(drawn([truth * 0.8]), drawn([smaller(truth)])))
    away = np.hypot(y - 80, x - 80)
    assert np.abs(made[0][away > 44]).max() < 0.004  # one code of 8 bit is 0.0046
    assert np.abs(made[0][away < 34] - 0.9).max() < 0.01


def test_a_sources_noise_does_not_come_back():
    truth = scene(5, height=192, width=256, sharp=6)
    noise = np.random.default_rng(6).normal(0, 0.03, (3, 96, 128))
    made = unit(vsencore.lock(drawn([truth]), drawn([smaller(truth) + noise])))
    assert (made - truth).std() < 0.03 * 0.06


@pytest.mark.parametrize("tff", [True, False])
def test_whole_frames_of_fields_are_left_as_they_are(tff):
    """A quarter of a field line off, every edge that lies flat would be moved up and down."""
    truth = gaussian_filter(scene(7, 128, 96), (0, 1.5, 0))
    fields = [truth[:, (0 if (n == 0) == tff else 1) :: 2] for n in range(2)]
    woven = np.empty((3, 128, 96))
    woven[:, 0::2], woven[:, 1::2] = fields if tff else fields[::-1]
    source = drawn([woven], _FieldBased=2 if tff else 1)
    frames = drawn([truth, truth])
    made = vsencore.lock(frames, source)
    for n in range(2):
        assert np.abs(unit(made, n) - truth)[:, 6:-6].mean() < 0.0005
    first = vsencore.lock(frames[:1], source)
    assert worst([planes(first, 0)], [planes(made, 0)]) == 0


def test_chroma_of_420_is_compared_where_it_is():
    truth = gaussian_filter(scene(8, 128, 128), (0, 3, 3))
    result = drawn([truth]).resize.Spline36(format=vs.YUV420P16, chromaloc=0)
    made = vsencore.lock(result, drawn([truth]).resize.Spline36(64, 64, chromaloc=0))
    off = np.abs(planes(made, 0)[2] - planes(result, 0)[2])[4:-4, 4:-4]
    assert off.mean() / 57344 < 0.0004


def test_a_source_of_another_matrix_is_seen_in_the_results():
    truth = gaussian_filter(scene(9), (0, 4, 4))
    result = drawn([truth])
    source = drawn([smaller(truth)]).resize.Point(matrix=6, primaries=1)
    made = unit(vsencore.lock(result, source))
    assert np.abs(made - truth).mean() < 0.001


def test_gray_goes_through():
    gray = drawn([scene(1)]).std.ShufflePlanes(0, vs.GRAY)
    made = vsencore.lock(gray, gray.resize.Bicubic(64, 48))
    assert np.abs(planes(made, 0)[0] - planes(gray, 0)[0]).mean() / 56064 < 0.002


def test_frames_are_the_same_in_any_order():
    source = textured(length=5, format=vs.YUV420P8)
    result = source.resize.Bicubic(144, 96, format=vs.YUV420P10).akarin.Expr("x 1.05 *")
    straight = [planes(vsencore.lock(result, source), n) for n in range(5)]
    other = vsencore.lock(result, source)
    for n in (3, 0, 4, 3):
        assert worst([planes(other, n)], [straight[n]]) == 0


def test_remaster_ends_in_a_lock_where_asked_to():
    source = textured(length=4, width=96, height=64).std.SetFieldBased(2)
    bobbed = (
        source.std.SeparateFields()
        .std.SetFieldBased(0)
        .resize.Bicubic(192, 128, format=vs.YUV444P16, src_top=0.25)[2]
    )

    def off(lock):
        made = vsencore.remaster(source, 128, lock=lock, format=vs.YUV444P16, matrix="keep")
        return np.abs(low(unit(made, 2)[:1], 8) - low(unit(bobbed)[:1], 8)).mean()

    assert off(1.0) < 0.75 * off(0.0)


@pytest.mark.parametrize("tff", [True, False])
def test_inside_a_chain_it_holds_what_stages_before_it_made_of_fields(tff):
    class Stranger:
        """Draws fields out, and is too bright and too red."""

        reach, scale, needs = 0, 1, Needs(colour="yuv", fields=True)

        def to(self, device, dtype):
            return self

        def run(self, window):
            large = resize(
                window[:, 0, :3], window.shape[-2] * 2, window.shape[-1], shift=(0.25, 0)
            )
            return large * 1.1 + torch.tensor([0.02, 0.0, 0.03])[:, None, None]

    truth = gaussian_filter(scene(10, 128, 96), (0, 3, 3))
    fields = drawn([truth]).std.SetFieldBased(2 if tff else 1).std.SeparateFields(tff=tff)
    made = chain(fields, [Stranger(), LockStage()], matrix="keep")
    for n in range(2):
        assert np.abs(unit(made, n) - truth)[:, 6:-6].mean() < 0.002


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c, s: (c, s[:1]), "lock: source has 1 frames, and clip 2"),
        (lambda c, s: (s.std.Crop(right=52), c), "lock: source must be at most 4 times"),
        (lambda c, s: (c, s.std.SetFieldBased(2)[:1] * 3), "two fields"),
        (lambda c, s: (c, s.std.ShufflePlanes(0, vs.GRAY)), "lock: source must be as clip"),
        (lambda c, s: (c.std.SetFieldBased(2), s), "lock: clip must hold whole frames"),
        (lambda c, s: (c, 3), "lock: source must be a VapourSynth video clip"),
    ],
)
def test_clips_that_do_not_belong_together_are_refused_in_one_line(change, said):
    clip = core.std.BlankClip(format=vs.YUV420P8, width=128, height=96, length=2)
    with pytest.raises(vs.Error, match=said) as caught:
        vsencore.lock(*change(clip, clip.resize.Bicubic(64, 48)))
    assert "\n" not in str(caught.value)


class Told:
    """A finish that writes down what it was told, and doubles nothing."""

    reach, scale, needs = 0, 1, Needs(colour="yuv")

    def __init__(self):
        self.seen = {}

    def to(self, device, dtype):
        return self

    def finish(self, luma, chroma, beside):
        self.seen[beside.frame] = beside
        return luma, chroma


def test_a_finish_sees_the_sources_picture_its_number_and_its_parity():
    class Bob:
        reach, scale, needs = 1, 1, Needs(colour="yuv", fields=True)

        def to(self, device, dtype):
            return self

        def run(self, window):
            return window[:, 1, :3].repeat_interleave(2, -2)

    told = Told()
    clip = textured(length=3, width=64, height=64).std.SetFieldBased(1)
    fields = clip.std.SeparateFields()
    made = chain(fields, [Bob(), told], format=vs.YUV444P16, matrix="keep", batch=2)
    for n in range(6):
        frame = planes(made, n)
        beside = told.seen[n]
        assert beside.field == ("bottom" if n % 2 == 0 else "top")
        assert beside.source.shape == (1, 3, 32, 64)
        codes = torch.round(beside.source[0, 0] * 219 + 16).numpy()
        assert np.array_equal(codes, planes(fields, n)[0])
        assert np.abs(frame[0][::2] / 256 - codes).max() < 0.01
