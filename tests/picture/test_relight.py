"""Relight: the dark shows more, and nothing else is touched: black, white, hues, edges, noise."""

import json

import numpy as np
import pytest
import torch
import vapoursynth as vs
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from test_engine_chain import planes, textured, worst
from test_lock import drawn, unit

import vsencore
from vsencore.engine.bridge import chain
from vsencore.tone import Curve, RelightStage, states_of

core = vs.core


def grey(luma):
    return np.stack([luma, np.zeros_like(luma), np.zeros_like(luma)])


def relit(picture, shadows=0.5, highlights=0.0, **more):
    return unit(vsencore.relight(drawn([picture]), shadows, highlights, **more))


def test_nothing_asked_for_gives_the_clip_itself():
    clip = textured(length=2)
    assert worst([planes(vsencore.relight(clip), 1)], [planes(clip, 1)]) == 0


@given(
    shadows=st.floats(0, 1),
    highlights=st.floats(0, 1),
    toe=st.floats(0.03, 0.12),
    amount=st.floats(0.4, 1),
)
def test_the_curve_rises_and_leaves_black_and_white_where_they_are(
    shadows, highlights, toe, amount
):
    v = torch.linspace(0, 1, 1001, dtype=torch.float64)
    curve = Curve(toe, amount)
    made = v * (1 + curve.lit(v) * curve.extra(v, shadows, highlights))
    assert made[0] == 0
    assert made[-1] == 1
    assert (made.diff() > 0).all()


def test_letterbox_and_clipped_lamps_stay_as_they_are():
    picture = np.zeros((160, 200))
    picture[20:140] = 0.12
    picture[60:90, 80:120] = 1.0
    made = relit(grey(picture), 0.5, 1.0)[0]
    assert np.abs(made[:16]).max() < 0.0005
    assert np.abs(made[65:85, 85:115] - 1).max() < 0.002
    assert made[120, 20] > 0.12 * 1.3


def test_night_between_lamps_is_hardly_lifted():
    made = relit(grey(np.full((96, 96), 0.012)))[0]
    assert made.mean() < 0.012 * 1.06


def test_detail_in_the_dark_gains_a_quarter_and_more():
    dice = np.random.default_rng(1)
    texture = gaussian_filter(dice.normal(0, 1, (160, 200)), 2)
    texture *= 0.02 / texture.std()
    for level in (0.08, 0.12, 0.18):
        made = relit(grey(level + texture * level / 0.15))[0]
        assert made.std() / (0.02 * level / 0.15) > 1.25


def test_noise_of_a_flat_dark_is_not_lifted():
    dice = np.random.default_rng(2)
    for level in (0.06, 0.12, 0.2):
        noisy = level + dice.normal(0, 0.01, (160, 200))
        made = relit(grey(noisy))[0]
        assert made.mean() > level * 1.15
        assert made.std() <= noisy.std()


def test_primaries_keep_their_ratios():
    patches = np.array([(0.3, 0.2, 0.15), (0.1, 0.15, 0.3), (0.2, 0.05, 0.05), (0.5, 0.3, 0.25)])
    rgb = np.kron(patches.T[:, None], np.ones((64, 64)))
    weights = np.array([0.2126, 0.7152, 0.0722])
    luma = np.tensordot(weights, rgb, 1)
    picture = np.stack([luma, (rgb[2] - luma) / 1.8556, (rgb[0] - luma) / 1.5748])
    made = relit(picture)
    red, blue = made[0] + 1.5748 * made[2], made[0] + 1.8556 * made[1]
    for n, patch in enumerate(patches):
        inner = (slice(20, 44), slice(64 * n + 20, 64 * n + 44))
        assert red[inner].mean() / blue[inner].mean() == pytest.approx(
            patch[0] / patch[2], rel=0.01
        )
        assert red[inner].mean() >= patch[0]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0.1), (0, 0.6), (0.05, 0.3), (0.1, 0.9), (0.2, 0.5), (0.4, 0.8)]
)
def test_no_edge_overshoots(low, high):
    step = np.full((120, 320), float(low))
    step[:, 160:] = high
    made = relit(grey(gaussian_filter(step, (0, 1.2))), 0.5, 0.5)[0][60]
    assert max(made[8] - made.min(), made.max() - made[-8]) < 0.02


def test_a_point_of_light_in_the_dark_is_not_blown_out():
    picture = np.full((120, 120), 0.1)
    picture[60, 60] = 0.9
    picture[30:32, 30:32] = 0.7
    made = relit(grey(picture), 1.0)[0]
    assert made.max() < 1
    assert made[60, 60] > made[30:32, 30:32].max()


def test_a_flash_leaves_the_other_half_of_the_picture_still():
    calm = np.full((160, 320), 0.12)
    lit = calm.copy()
    lit[:, 220:] = 0.7
    clip = drawn([grey(calm), grey(lit), grey(calm)])
    made = [unit(vsencore.relight(clip, 0.5), n)[0] for n in range(3)]
    assert np.abs(made[1][:, :160] - made[0][:, :160]).max() < 0.0005
    assert np.array_equal(made[0], made[2])


def test_frames_are_the_same_in_any_order_and_as_a_stage_of_a_chain():
    clip = textured(length=5, width=96, height=64, format=vs.YUV444P16)
    straight = [planes(vsencore.relight(clip, 0.4), n) for n in range(5)]
    other = vsencore.relight(clip, 0.4)
    chained = chain(clip, [RelightStage(0.4)], matrix="keep")
    for n in (4, 1, 3, 1):
        assert worst([planes(other, n)], [straight[n]]) == 0
        assert worst([planes(chained, n)], [straight[n]]) <= 1


DIM = {"p01": 0.0, "p05": 0.0005, "p50": 0.01, "p95": 0.05, "p99": 0.2}
BRIGHT = {"p01": 0.0, "p05": 0.01, "p50": 0.3, "p95": 0.8, "p99": 0.9}


def test_curves_go_over_inside_a_shot_and_jump_at_a_cut():
    def amounts(cut):
        told = [DIM | {"first": 0, "last": 19}, BRIGHT | {"first": 20, "last": 39, "cut": cut}]
        stage = RelightStage(0.5, states=states_of(told))
        return np.array([stage.curve(n).amount for n in range(40)])

    jump, over = np.diff(amounts(True)), np.diff(amounts(False))
    assert np.flatnonzero(jump).tolist() == [19]
    assert len(np.flatnonzero(over)) == 8
    assert (over <= 0).all()
    assert np.abs(over).max() < np.abs(jump).max() / 4
    assert amounts(True)[0] == 1


def test_a_picture_that_is_not_dark_is_lifted_less():
    whole = [{"first": 0, "last": 0}]
    dim, bright = (
        relit(grey(np.full((96, 96), 0.15)), light=[one | whole[0]])[0].mean()
        for one in (DIM, BRIGHT)
    )
    assert 0.15 < bright < dim - 0.03


def test_the_scans_timeline_is_spread_over_a_doubled_rate(tmp_path):
    states = [
        {"shot": 0, "first": 0, "last": 1, "percentiles": [0, 0.0005, 0.01, 0.05, 0.1]},
        {"shot": 1, "first": 2, "last": 3, "percentiles": [0, 0.01, 0.3, 0.8, 0.9]},
    ]
    path = tmp_path / "light.json"
    path.write_text(json.dumps({"frames": 4, "states": states}))
    clip = drawn([grey(np.full((64, 64), 0.15))] * 8)
    made = vsencore.relight(clip, 0.5, light=path)
    means = [unit(made, n)[0].mean() for n in range(8)]
    assert np.ptp(means[:4]) == 0
    assert np.ptp(means[4:]) == 0
    assert means[3] > means[4] + 0.02


def test_the_format_that_is_asked_for_is_made():
    clip = textured(length=1, format=vs.YUV420P8).std.SetFieldBased(0)
    made = vsencore.relight(clip, 0.3, format=vs.YUV420P10).get_frame(0)
    assert made.format.id == vs.YUV420P10
    assert made.props["_Matrix"] == 6
    assert vsencore.relight(clip, format=vs.YUV444P10).get_frame(0).format.id == vs.YUV444P10
    gray = clip.std.ShufflePlanes(0, vs.GRAY)
    assert vsencore.relight(gray, 0.3).get_frame(0).format.id == vs.GRAY8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"shadows": 2}, "relight: shadows must be from 0 to 1"),
        ({"highlights": "much"}, "relight: highlights must be a number"),
        ({"shadows": 0.1, "light": "not/there.json"}, "relight: light cannot be read"),
        ({"shadows": 0.1, "light": [{"first": 3}]}, "relight: light cannot be read: state 0 must"),
        (
            {"shadows": 0.1, "light": [DIM | {"first": 5, "last": 2}]},
            "state 0 does not come after the one before it",
        ),
        ({"shadows": 0.1, "light": [DIM | {"first": 0, "last": 2, "p50": 7}]}, "from 0 to 1"),
        ({"shadows": 0.1, "device": "tpu"}, "relight: device must be"),
        ({"shadows": 0.1, "format": vs.RGBS}, "relight: format must be YUV or Gray integers"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, said):
    with pytest.raises(vs.Error, match=said) as caught:
        vsencore.relight(textured(length=1), **arguments)
    assert "\n" not in str(caught.value)


def test_a_picture_of_hdr_is_refused():
    with pytest.raises(vs.Error, match="relight: clip must be SDR video, and its transfer is 16"):
        vsencore.relight(textured(length=1).std.SetFrameProps(_Transfer=16), 0.2)


def test_a_part_of_a_timeline_lies_where_it_belongs():
    """What was looked at began at frame 2 of 6; the clip has twice as many."""
    dim = {"shot": 0, "first": 0, "last": 1, "percentiles": [0, 0.0005, 0.01, 0.05, 0.1]}
    bright = {"shot": 1, "first": 2, "last": 3, "percentiles": [0, 0.01, 0.3, 0.8, 0.9]}
    part = {"first": 2, "frames": 4, "whole": 6, "states": [dim, bright]}
    clip = drawn([grey(np.full((64, 64), 0.15))] * 12)
    made = vsencore.relight(clip, 0.5, light=part)
    means = [unit(made, n)[0].mean() for n in range(12)]
    assert np.ptp(means[4:8]) == 0
    assert np.ptp(means[8:]) == 0
    assert means[7] > means[8] + 0.02
