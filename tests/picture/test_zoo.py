"""Models: what a file is told to be, and what is refused before anything of it runs."""

import pytest
import randoms

from vsencore import zoo


@pytest.mark.parametrize("scale", [2, 4])
def test_a_compact_is_described_by_its_tensors_alone(tmp_path, scale):
    model = zoo.find(randoms.compact(tmp_path / "little.safetensors", scale))
    assert (model.name, model.architecture, model.purpose) == ("little", "Compact", "sr")
    assert (model.scale, model.reach, model.colour) == (scale, 0, "rgb")
    assert (model.channels_in, model.channels_out, model.multiple_of) == (3, 3, 1)
    assert model.fp16
    assert model.bf16
    assert model.size_bytes == model.path.stat().st_size


@pytest.mark.parametrize("convolutions", [2, 16])
def test_the_receptive_field_of_plain_convolutions_is_their_count(tmp_path, convolutions):
    path = randoms.compact(tmp_path / "c.safetensors", 2, 8, convolutions)
    assert zoo.find(path).receptive_field_px == convolutions + 2
