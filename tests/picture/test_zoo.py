"""Models: what a file is told to be, and what it computes."""

import socket
import sys

import pytest
import randoms
import torch
from safetensors.torch import save_file
from spandrel.architectures.DRUNet import DRUNet
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.NAFNet import NAFNet
from torch import nn

from vsencore import zoo
from vsencore.zoo import fetch, library, receptive


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A user's folder of models that is not the user's."""
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def little(tmp_path):
    return randoms.compact(tmp_path / "little.safetensors", 2, 8, 2)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_compact_is_described_by_its_tensors_alone(tmp_path, scale):
    model = zoo.find(randoms.compact(tmp_path / "little.safetensors", scale))
    assert (model.name, model.architecture, model.purpose) == ("little", "Compact", "sr")
    assert (model.scale, model.reach, model.colour) == (scale, 0, "rgb")
    assert (model.channels_in, model.channels_out) == (3, 3)
    assert (model.multiple_of, model.minimum_px) == (1, 1)
    assert (model.fp16, model.bf16) == (True, True)
    assert model.size_bytes == model.path.stat().st_size
    assert model.licence == "not stated"


def test_the_network_built_is_the_one_that_was_saved(tmp_path, little):
    picture = torch.rand(2, 3, 13, 17)
    with torch.inference_mode():
        wanted = randoms.compact_network(2, 8, 2)(picture)
        given = zoo.find(little).build()(picture)
    assert torch.equal(given, wanted)


def test_a_network_is_built_for_inference_in_the_precision_asked_for(little):
    network = zoo.find(str(little)).build("cpu", torch.bfloat16)
    assert not network.training
    assert all(one.dtype is torch.bfloat16 for one in network.parameters())
    assert not any(one.requires_grad for one in network.parameters())


def test_weights_in_half_precision_are_the_same_network(tmp_path):
    state = randoms.compact_network(2, 8, 2).half().state_dict()
    save_file(state, tmp_path / "half.safetensors")
    network = zoo.find(tmp_path / "half.safetensors").build()
    assert all(one.dtype is torch.float32 for one in network.parameters())


@pytest.mark.parametrize("wrapper", ["params_ema", "params", "state_dict", None])
def test_a_pth_is_read_however_its_training_wrapped_it(tmp_path, wrapper):
    state = {f"module.{k}": v for k, v in randoms.compact_network(2, 8, 2).state_dict().items()}
    torch.save({wrapper: state, "iteration": 7} if wrapper else state, tmp_path / "wrapped.pth")
    assert zoo.find(tmp_path / "wrapped.pth").architecture == "Compact"


def test_the_old_format_of_torch_is_read(tmp_path):
    state = randoms.compact_network(4, 8, 2).state_dict()
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert zoo.find(tmp_path / "old.pth").scale == 4


def test_a_precision_that_a_model_does_not_tolerate_is_refused(tmp_path):
    network = NAFNet(img_channel=3, width=8, enc_blk_nums=[1], dec_blk_nums=[1])
    save_file(network.state_dict(), tmp_path / "nafnet.safetensors")
    model = zoo.find(tmp_path / "nafnet.safetensors")
    assert (model.purpose, model.scale, model.fp16) == ("restoration", 1, False)
    with pytest.raises(zoo.ZooError, match=r"must not be computed in torch\.float16"):
        model.build("cpu", torch.float16)


def test_a_network_that_wants_more_than_a_picture_is_given_it(tmp_path):
    network = DRUNet(in_nc=4, out_nc=3, nc=[4, 4, 4, 4], nb=2)  # the fourth is how noisy it is
    save_file(network.state_dict(), tmp_path / "drunet.safetensors")
    model = zoo.find(tmp_path / "drunet.safetensors")
    assert model.channels_in == 3
    both, built = torch.rand(2, 3, 8, 16), model.build()
    with torch.inference_mode():
        first, second = (built(one) for one in both.split(1))
        assert torch.allclose(built(both), torch.cat([first, second]), atol=1e-6)


def test_a_grey_model_says_that_it_takes_luma(tmp_path):
    network = ESRGAN(in_nc=1, out_nc=1, num_filters=4, num_blocks=1, scale=4)
    save_file(network.state_dict(), tmp_path / "grey.safetensors")
    model = zoo.find(tmp_path / "grey.safetensors")
    assert (model.colour, model.channels_in, model.scale) == ("y", 1, 4)


def test_a_file_that_changes_after_it_was_described_is_not_built(tmp_path, little):
    model = zoo.find(little)
    randoms.compact(little, 2, 8, 2, seed=1)
    with pytest.raises(zoo.ZooError, match="was changed"):
        model.build()


@pytest.mark.parametrize("convolutions", [2, 16])
def test_the_receptive_field_of_plain_convolutions_is_their_count(tmp_path, convolutions):
    path = randoms.compact(tmp_path / "c.safetensors", 2, 8, convolutions)
    assert zoo.find(path).receptive_field_px == convolutions + 2


@pytest.mark.parametrize("turned", [False, True])
def test_the_wider_side_of_a_receptive_field_counts(turned):
    kernel = (3, 11)[:: -1 if turned else 1]
    network = nn.Conv2d(1, 1, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
    assert receptive.field_px(network, 1, 1) == 5


def test_a_field_covers_the_cell_that_a_network_unshuffles():
    network = nn.Sequential(
        nn.PixelUnshuffle(4), nn.Conv2d(16, 16, 3, padding=1), nn.PixelShuffle(4)
    )
    # The first pixel of a cell of four looks at all of the next cell: 7 px, so two cells.
    assert receptive.field_px(network, 1, 1, multiple_of=4) == 8


def test_a_network_that_looks_everywhere_has_the_largest_field():
    class Mean(nn.Module):
        def forward(self, picture):
            return picture - picture.mean(dim=(2, 3), keepdim=True)

    assert receptive.field_px(Mean(), 3, 1) == receptive.LARGEST_PX


def test_a_deep_network_has_a_field_that_makes_good_tiles():
    torch.manual_seed(0)
    network = ESRGAN(in_nc=3, out_nc=3, num_filters=4, num_blocks=3, scale=1).eval()
    field = receptive.field_px(network, 3, 1)
    assert 0 < field <= receptive.LARGEST_PX
    picture = torch.rand(1, 3, 8, 3 * field)
    with torch.inference_mode():
        difference = network(picture)[..., 2 * field :] - network(picture[..., field:])[..., field:]
    assert difference.abs().max() < 0.5 / 1023


def test_a_network_that_takes_no_narrow_strip_has_the_largest_field():
    network = nn.Sequential(nn.ReflectionPad2d(20), nn.Conv2d(1, 1, 41))
    assert receptive.field_px(network, 1, 1) == receptive.LARGEST_PX


def test_tiles_that_overlap_by_the_field_give_what_the_whole_picture_gives(tmp_path):
    model = zoo.find(randoms.compact(tmp_path / "c.safetensors", 2, 8, 6))
    network, field = model.build(), model.receptive_field_px
    picture = torch.rand(1, 3, 20, 64)
    with torch.inference_mode():
        whole = network(picture)[..., 64:]
        tile = network(picture[..., 32 - field :])[..., 2 * field :]
        short = network(picture[..., 32 - field + 2 :])[..., 2 * field - 4 :]
    assert torch.allclose(tile, whole, atol=1e-6)
    assert not torch.allclose(short, whole, atol=1e-6)


def test_a_model_of_the_users_folder_is_found_by_name(folder):
    randoms.compact(folder / "mine.safetensors", 2, 8, 2)
    assert zoo.find("mine").path == folder / "mine.safetensors"
    assert zoo.located("mine") == folder / "mine.safetensors"


def test_a_file_is_found_by_its_path_whatever_its_name(tmp_path, folder, monkeypatch):
    randoms.compact(folder / "same.safetensors", 2, 8, 2)
    randoms.compact(tmp_path / "same.safetensors", 4, 8, 2)
    monkeypatch.chdir(tmp_path)
    assert zoo.find("same").scale == 2
    assert zoo.find("same.safetensors").scale == 4
    assert zoo.find("./same.safetensors").scale == 4


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("yunett", "did you mean 'yunet'"),
        ("yunet", "encore models get yunet"),
        ("nothing-like-it", "encore models list"),
    ],
)
def test_a_model_that_is_not_here_is_named_with_the_way_to_have_it(name, hint):
    with pytest.raises(zoo.ZooError, match=hint):
        zoo.find(name)


def test_the_folder_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path / "here"))
    assert zoo.models_dir() == tmp_path / "here"
    monkeypatch.delenv("ENCORE_MODELS")
    monkeypatch.setenv("ENCORE_CACHE", str(tmp_path / "cache"))
    assert zoo.models_dir() == tmp_path / "cache" / "models"


def test_the_folder_is_in_the_cache_that_the_joint_uses(monkeypatch):
    from encore.cache import cache_dir

    for name in ("ENCORE_MODELS", "ENCORE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert zoo.models_dir() == cache_dir() / "models"


def test_a_machine_without_a_network_is_told_so_in_one_line(monkeypatch):
    def nowhere(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(zoo.NotDoneError, match="is this machine offline") as caught:
        fetch.get("realesr-general-x4v3")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="has no modes of files")
def test_weights_that_were_rewritten_may_be_read_by_whoever_may_read_others(tmp_path, folder):
    torch.save(randoms.compact_network(2, 8, 2).state_dict(), tmp_path / "mine.pth")
    (tmp_path / "any").touch()
    kept = library.keep(tmp_path / "mine.pth")
    assert kept.path.stat().st_mode == (tmp_path / "any").stat().st_mode
