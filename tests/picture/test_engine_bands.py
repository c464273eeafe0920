import pytest
import torch

from vsencore.engine import bands, guided
from vsencore.engine.colour import Signal, to_code, to_unit
from vsencore.engine.dither import ordered
from vsencore.engine.scaling import resize, weight_matrix
from vsencore.engine.strips import strips

CPU = torch.device("cpu")
# Source and results along an axis, and how long the other is: both ways of making the product.
SHAPES = ((1080, 144, 640), (144, 1080, 640), (40, 20, 24), (20, 40, 24), (33, 32, 1), (7, 100, 9))


def scaling_band(source: int, size: int) -> tuple[torch.Tensor, bands.Band]:
    matrix = weight_matrix(source, size, "bicubic", 0.0, source)
    return matrix, bands.band(matrix, CPU, torch.float32)


@pytest.mark.parametrize(("source", "size", "other"), SHAPES)
def test_bands_are_the_product_with_the_whole_matrix(source: int, size: int, other: int) -> None:
    matrix, band = scaling_band(source, size)
    x = torch.rand(2, 3, source, other)
    torch.testing.assert_close(
        bands.down(x, band), (matrix @ x.double()).float(), rtol=0, atol=2e-6
    )
    torch.testing.assert_close(
        bands.across(x.mT, band), (x.double().mT @ matrix.mT).float(), rtol=0, atol=2e-6
    )


@pytest.mark.parametrize(("source", "size", "other"), SHAPES)
def test_some_lines_are_those_of_the_whole(source: int, size: int, other: int) -> None:
    _, band = scaling_band(source, size)
    x = torch.rand(1, 2, source, other)
    whole = bands.down(x, band)
    made = [bands.lines_of(x, band, lines) for lines in strips(whole)]
    torch.testing.assert_close(torch.cat(made, -2), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (5, 40000), (1080, 1920), (2160, 3840), (16, 10)])
def test_strips_are_all_lines_in_turn(size: tuple[int, int]) -> None:
    found = [n for lines in strips(torch.empty(1, 1, *size)) for n in range(*lines.indices(9999))]
    assert found == list(range(size[0]))


def test_a_large_picture_is_scaled_with_gradients() -> None:
    x = torch.rand(1, 1, 600, 800, requires_grad=True)
    resize(x, 75, 100, "bilinear").sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad.sum(), torch.tensor(7500.0))


@pytest.mark.parametrize(("height", "rows"), [(1080, 180), (100, 50), (90, 144)])
def test_maps_drawn_over_strips_are_those_of_the_whole_picture(height: int, rows: int) -> None:
    picture, maps = torch.zeros(1, 1, height, 1000), torch.rand(1, 1, rows, 200)

    def write(lines: slice, drawn: torch.Tensor, room: torch.Tensor) -> None:
        room.copy_(drawn)

    made = guided.drawn_over(picture, maps, (0.25, -0.5), write)
    shift = (-0.25 * rows / height, 0.5 * 200 / 1000)
    torch.testing.assert_close(
        made, resize(maps, height, 1000, "bilinear", shift), rtol=0, atol=1e-6
    )


def test_offsets_of_a_part_are_those_of_its_place() -> None:
    whole = ordered(300, 200, 2, CPU)
    assert torch.equal(ordered(90, 70, 2, CPU, 130, 75), whole[130:220, 75:145])


def test_codes_of_a_large_picture_are_those_of_its_sum_at_once() -> None:
    told = Signal("GRAY", 10)
    unit = torch.rand(1, 1, 270, 2000)
    exact = unit * 876 + ordered(270, 2000, 0, CPU)
    (codes,) = to_code([unit], told)
    assert torch.equal(codes.int(), exact.round().add(64).int())
    (back,) = to_unit([codes], told)
    assert torch.equal(back, (codes.float() - 64) / 876)
