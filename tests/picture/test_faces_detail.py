"""A face's own pixels: aligned on a known motion, merged against known noise, raised by a rule."""

import numpy as np
import pytest
import torch
from drawn_clips import places, texture
from torch import Tensor

from vsencore.face import detail
from vsencore.face.align import blur, flow, similarity, warp

SIDE = 96
MASK = torch.ones(1, 1, SIDE, SIDE)


def drawn(right: float = 0.0, down: float = 0.0, seed: int = 1) -> Tensor:
    """A texture of mean 0.5, moved by so many pixels."""
    x, y = places(SIDE, SIDE)
    plane = 0.5 + 0.12 * texture(x - right, y - down, seed)
    return torch.from_numpy(plane.astype(np.float32))[None, None]


def noisy(count: int, deviation: float, seed: int = 3) -> Tensor:
    noise = torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return drawn().expand_as(noise) + deviation * noise


def still(count: int) -> Tensor:
    return torch.eye(2, 3)[None].repeat(count, 1, 1)


def merged(pictures: Tensor) -> tuple[detail.Aligned, detail.Merged]:
    """The first of pictures merged with the others."""
    seen = detail.aligned(pictures[:1], pictures[1:], still(len(pictures) - 1))
    return seen, detail.merged(seen)


def power(picture: Tensor) -> float:
    return float(picture[..., 8:-8, 8:-8].square().mean())


def test_a_similarity_is_found_from_its_points():
    points = np.array([[1.0, 2.0], [5.0, 2.5], [3.0, 4.0], [2.0, 6.0], [4.0, 6.0]])
    turn = 1.3 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    found = similarity(points, points @ turn.T + [7.0, -3.0])
    assert found == pytest.approx(np.concatenate([turn, [[7.0], [-3.0]]], 1))


def test_points_in_one_place_give_a_shift():
    found = similarity(np.zeros((5, 2)), np.full((5, 2), 3.0))
    assert found == pytest.approx(np.array([[1, 0, 3], [0, 1, 3]]))


def test_a_map_of_nothing_leaves_a_picture_as_it_is():
    assert torch.allclose(warp(drawn(), still(1), (SIDE, SIDE)), drawn(), atol=1e-5)


def test_maps_of_halves_lead_to_the_same_places():
    whole = torch.tensor([[[1.1, 0.1, 4.0], [-0.1, 1.1, 6.0]]])
    half = detail._of_halves(whole)[0]
    # The middle of the pixel (u, v) of a half lies at (2 u + 0.5, 2 v + 0.5) of the whole.
    there = whole[0] @ torch.tensor([2 * 10 + 0.5, 2 * 20 + 0.5, 1.0])
    assert half @ torch.tensor([10.0, 20.0, 1.0]) == pytest.approx((there - 0.5) / 2)


def test_the_flow_is_the_motion_that_was_made():
    found = flow(drawn(1.5, -0.8), drawn())
    inner = found[0, :, 12:-12, 12:-12]
    assert inner[0].median() == pytest.approx(1.5, abs=0.1)
    assert inner[1].median() == pytest.approx(-0.8, abs=0.1)


def test_noise_falls_by_the_number_of_frames():
    pictures = noisy(9, 0.03)
    _, made = merged(pictures)
    before, after = power(pictures[:1] - drawn()), power(made.picture - drawn())
    # Nine frames can leave a ninth; the flow and the doubt cost some of it.
    assert after < before / 4


def test_a_hand_before_a_neighbour_is_left_out():
    pictures = noisy(5, 0.01)
    pictures[2, :, 30:60, 30:60] = 0.95
    _, made = merged(pictures)
    assert made.weights[1, 0, 19:26, 19:26].max() < 0.05
    assert made.weights[0, 0, 19:26, 19:26].mean() > 0.5


def test_a_flash_does_not_brighten_what_is_merged():
    pictures = noisy(5, 0.01)
    pictures[2] = pictures[2] * 1.4 + 0.05
    seen, made = merged(pictures)
    lit = seen.neighbours[1, 0, 12:-12, 12:-12] - drawn()[0, 0, 12:-12, 12:-12]
    assert abs(float(lit.mean())) < 0.005
    assert abs(float((made.picture - pictures[:1]).mean())) < 0.002


def test_what_is_added_has_no_low_band():
    pictures = noisy(9, 0.03)
    seen, made = merged(pictures)
    for strength in (0.5, 1.0):
        added = detail.calmed(made, seen.centre) + detail.raised(seen, made, MASK, strength)
        assert power(blur(added, 16.0)) < 0.002 * power(added)


def test_strength_0_adds_nothing():
    seen, made = merged(noisy(5, 0.02))
    assert not detail.raised(seen, made, MASK, 0.0).any()


def test_what_was_made_of_each_frame_is_averaged_where_the_face_went():
    moves = (0.0, 2.0, -1.5, 3.0)
    seen, made = merged(torch.cat([drawn(right) for right in moves]))
    dice = torch.Generator().manual_seed(8)
    own = [drawn(right, seed=9) - 0.5 for right in moves]
    noise = 0.05 * torch.randn(len(moves), 1, SIDE, SIDE, generator=dice)
    ties = detail.Ties(seen.moved, seen.gain, made.weights)
    smooth = detail.smoothed(own[0] + noise[:1], torch.cat(own[1:]) + noise[1:], still(3), ties)
    assert power(smooth - own[0]) < 0.4 * power(noise[:1])


def test_a_part_of_the_ties_are_those_of_some_neighbours():
    seen, made = merged(noisy(5, 0.01))
    ties = detail.Ties(seen.moved, seen.gain, made.weights).of([0, 3])
    assert torch.equal(ties.moved, seen.moved[[0, 3]])
    assert torch.equal(ties.weights, made.weights[[0, 3]])
    own = drawn()
    assert torch.equal(detail.smoothed(own, own[:0], still(0), ties.of([])), own)


def natural(deviation_px: float = 0.0) -> Tensor:
    """Noise whose amplitude falls with frequency as a clean picture's does, then blurred."""
    spectrum = torch.fft.rfft2(
        torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    )
    across, down = torch.fft.rfftfreq(SIDE), torch.fft.fftfreq(SIDE)
    frequency = (across[None] ** 2 + down[:, None] ** 2).sqrt().clamp_min(1 / SIDE)
    picture = torch.fft.irfft2(spectrum / frequency**1.4, s=(SIDE, SIDE))
    picture = 0.5 + 0.1 * (picture - picture.mean()) / picture.std()
    return blur(picture, deviation_px) if deviation_px else picture


def test_a_clean_picture_lacks_little_and_a_blurred_one_lacks_more():
    clean, soft = (
        detail._lacks(detail.bands(picture, detail.BANDS), MASK)
        for picture in (natural(), natural(1.2))
    )
    assert max(clean) < 1.25
    assert soft[0] > 1.5 > 1.25 > min(clean)


def test_a_soft_picture_comes_nearer_to_the_clean_one():
    soft = natural(1.0)
    seen, made = merged(soft.repeat(9, 1, 1, 1))
    added = detail.raised(seen, made, MASK, detail.AT_TRUTH)
    assert power(soft + added - natural()) < 0.9 * power(soft - natural())


def test_noise_alone_is_not_raised():
    noise = torch.randn(9, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    flat = 0.5 + 0.02 * blur(noise, 1.0)
    seen, made = merged(flat)
    assert power(detail.raised(seen, made, MASK, 1.0)) < 0.003 * power(flat[:1] - 0.5)
    assert power(flat[:1] + detail.calmed(made, flat[:1]) - 0.5) < 0.3 * power(flat[:1] - 0.5)


def test_a_frame_that_stands_alone_is_left_as_it_is():
    seen = detail.aligned(drawn(), drawn()[:0], still(0))
    added = detail.raised(seen, detail.merged(seen), MASK, 1.0)
    assert power(added) < 1e-9
