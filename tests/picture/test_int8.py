"""The network in bytes says what it says in floats, to the step of a byte."""

import pytest
import torch
from torch import nn

from vsencore.learned import RestorerStage
from vsencore.nets import Restorer, Shape, int8
from vsencore.nets.bundled import load, shape_of
from vsencore.nets.restorer import CELL_STEP, CELL_ZERO, cells

quick = pytest.mark.skipif(not int8.supported(), reason="this processor has no VNNI")


def window(shape, height=32, width=40, seed=0):
    torch.manual_seed(seed)
    smooth = nn.functional.interpolate(
        torch.rand(2 * shape.pictures, 4, height // 8, width // 8), (height, width), mode="bicubic"
    )
    smooth = smooth.clamp(0, 1).view(2, shape.pictures, 4, height, width)
    smooth[:, :, 1:3] -= 0.5
    return smooth


def drawn(kind="fields", deep=1):
    torch.manual_seed(1)
    network = Restorer(Shape(kind, 16, 1, deep, 1)).eval().requires_grad_(False)
    nn.init.normal_(network.tail.weight, std=0.05)
    network.ranges.copy_(int8.measured(network, cells(window(network.shape))))
    return network


def test_bytes_fold_as_floats_do():
    shape = Shape("fields", 8, 1, 1, 2)
    wanted = cells(window(shape)) / CELL_STEP + CELL_ZERO
    assert (int8.codes(window(shape)).float() - wanted).abs().max() <= 0.501


def test_an_eight_bit_source_is_held_exactly():
    luma = torch.randint(0, 256, (1, 3, 1, 8, 8)).float()
    flat = torch.cat([(luma - 16) / 219, torch.zeros(1, 3, 3, 8, 8)], 2)
    folded = int8.codes(flat)[:, :4]
    assert torch.equal(folded.float(), nn.functional.pixel_unshuffle(luma[:, 0], 2))


@quick
@pytest.mark.parametrize("deep", [0, 1, 2])
@pytest.mark.parametrize("kind", ["fields", "frames"])
def test_bytes_say_what_floats_say(kind, deep):
    network = drawn(kind, deep)
    shown = window(network.shape, seed=2)
    wanted = network.said(cells(shown))
    said = int8.Int8Restorer(network).said(int8.codes(shown))
    assert (said - wanted).std() < 0.04 * wanted.std()


@quick
def test_bytes_beyond_what_was_measured_are_held_and_do_not_turn_round():
    network = drawn()
    network.ranges.mul_(0.5)
    shown = window(network.shape)
    said = int8.Int8Restorer(network).said(int8.codes(shown))
    wanted = network.said(cells(shown))
    assert torch.corrcoef(torch.stack([said.flatten(), wanted.flatten()]))[0, 1] > 0.8


@quick
def test_what_was_never_measured_is_not_made_of_bytes():
    network = drawn()
    network.ranges[2] = 0
    with pytest.raises(ValueError, match="never measured"):
        int8.Int8Restorer(network)


@quick
def test_what_ships_is_as_good_in_bytes():
    shape = shape_of("base", "fields")
    # A still, noisy picture of middling contrast, under one light.
    still = window(shape, 64, 96)[:, :1].repeat(1, shape.pictures, 1, 1, 1)
    shown = 0.4 * still + 0.01 * torch.randn_like(still)
    shown[:, :, 0] += 0.2
    shown[:, :, 3] = 1
    exact = load("base", "fields").said(cells(shown))
    stage = RestorerStage("base", shape).to(torch.device("cpu"), torch.float32)
    assert isinstance(stage, RestorerStage)
    assert stage.quick is not None
    said = stage.quick.said(int8.codes(shown))
    # A code of 8 bit is 0.0046 of luma's 0..1.
    assert (said - exact).abs().mean() < 0.002


def test_a_precision_that_was_asked_for_is_kept():
    stage = RestorerStage("base", shape_of("base", "fields"), bytes=False)
    made = stage.to(torch.device("cpu"), torch.float32)
    assert isinstance(made, RestorerStage)
    assert made.quick is None
    assert made.network is not None
