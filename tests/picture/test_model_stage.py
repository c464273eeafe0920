"""Models as filters: what they are given, what they give, and what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import randoms
import torch
import vapoursynth as vs
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DnCNN import DnCNN
from spandrel.architectures.DRUNet import DRUNet
from spandrel.architectures.NAFNet import NAFNet
from test_engine_chain import Convolve, Pick, planes, textured, whole, worst
from torch.nn import functional

import vsencore
from vsencore import models, zoo
from vsencore.engine.bridge import chain
from vsencore.engine.tiles import run_tiled
from vsencore.models import ModelStage
from vsencore.zoo import receptive
from vsencore.zoo.network import Network

core = vs.core


@pytest.fixture
def saved(tmp_path):
    """Writes a network to a file and gives its path."""

    def save(network, name="made"):
        tensors = {key: one.contiguous() for key, one in network.state_dict().items()}
        save_file(tensors, tmp_path / f"{name}.safetensors")
        return str(tmp_path / f"{name}.safetensors")

    return save


@pytest.fixture
def compact_path(tmp_path):
    return str(randoms.compact(tmp_path / "compact.safetensors", 2, 8, 2))


@pytest.fixture
def seen(monkeypatch):
    """The sizes of the pictures that networks are given; no more than `most` pixels fit."""
    sizes, forward = [], Network.forward

    def run(network, pictures):
        if pictures.shape[-2] * pictures.shape[-1] > run.most:
            raise torch.OutOfMemoryError("made up")
        sizes.append(tuple(pictures.shape[-2:]))
        return forward(network, pictures)

    run.most = 1 << 30
    monkeypatch.setattr(Network, "forward", run)
    return SimpleNamespace(sizes=sizes, bound=run)


def grey_compact(scale):
    torch.manual_seed(0)
    return Compact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=2, upscale=scale).eval()


def grey_denoiser(activation):
    torch.manual_seed(0)
    return DnCNN(in_nc=1, out_nc=1, nc=8, nb=9, act_mode=activation).eval()


def on_luma(network, clip, n):
    """What a network makes of a frame's luma, in code values of 8 bits."""
    luma = torch.from_numpy(planes(clip, n)[0]).float()
    with torch.inference_mode():
        result = network(((luma - 16) / 219)[None, None])[0, 0]
    return (result * 219 + 16).round().clamp(0, 255).numpy()


def by_zimg(network, clip, n):
    """What a network makes of a frame when VapourSynth's own resizer converts it."""
    wide = clip.resize.Spline36(format=vs.RGBS, matrix_in=6 if clip.format.num_planes > 1 else None)
    with wide.get_frame(n) as frame:
        rgb = torch.from_numpy(np.stack([np.asarray(frame[p]) for p in range(3)]))
    with torch.inference_mode():
        result = network(rgb[None].clamp(0, 1))[0].numpy()
    height, width = result.shape[-2:]
    blank = core.std.BlankClip(width=width, height=height, format=vs.RGBS, length=1)

    def paint(n, f):
        out = f.copy()
        for plane in range(3):
            np.asarray(out[plane])[:] = result[plane]
        return out

    made = blank.std.ModifyFrame(blank, paint)
    return planes(made.resize.Spline36(format=clip.format.id, matrix=6), 0)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("format", [vs.YUV420P8, vs.YUV444P8, vs.GRAY8])
def test_a_model_of_any_scale_gives_what_its_network_gives_between_two_of_zimgs(
    saved, scale, format
):
    network = randoms.compact_network(scale, 8, 2)
    clip = textured(length=2, format=format)
    given = vsencore.model(clip, saved(network))
    assert (given.width, given.height) == (72 * scale, 48 * scale)
    assert given.format.id == format
    assert worst([planes(given, 1)], [by_zimg(network, clip, 1)]) <= 1


def test_the_receptive_field_is_measured_when_tiles_are_cut_and_not_before(
    compact_path, seen, monkeypatch
):
    asked, measure = [], receptive.field_px
    monkeypatch.setattr(receptive, "field_px", lambda *a: asked.append(a) or measure(*a))
    clip = textured(length=3, width=160, height=128)
    plain = whole(vsencore.model(clip, compact_path))
    assert not asked
    seen.bound.most = 128 * 128
    assert worst(plain, whole(vsencore.model(clip, compact_path))) <= 1
    assert len(asked) == 1


def test_a_picture_that_is_no_multiple_is_padded_and_cropped(saved, seen):
    network = DRUNet(in_nc=4, out_nc=3, nc=[4, 4, 4, 4], nb=2)
    clip = textured(length=1, format=vs.GRAY8, width=51, height=37)
    given = vsencore.model(clip, saved(network))
    assert np.asarray(planes(given, 0)).shape == (1, 37, 51)
    assert seen.sizes == [(40, 56)]


def test_a_picture_below_the_minimum_is_continued_by_its_edge_and_cropped(compact_path):
    described = replace(zoo.find(compact_path), minimum_px=100, multiple_of=8)
    clip = textured(length=1, format=vs.GRAY8)
    given = planes(chain(clip, [ModelStage(described)]), 0)[0]
    luma = (torch.from_numpy(planes(clip, 0)[0]).float() - 16) / 219
    padded = functional.pad(luma[None, None], (0, 104 - 72, 0, 104 - 48), mode="replicate")
    with torch.inference_mode():
        rgb = randoms.compact_network(2, 8, 2)(padded.expand(1, 3, 104, 104))[0]
    wanted = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) * 219 + 16
    assert np.abs(given - wanted[:96, :144].clamp(0, 255).round().numpy()).max() <= 1


@pytest.mark.parametrize("size", [(172, 132), (160, 20), (129, 129)])
def test_no_tile_is_smaller_than_the_minimum(compact_path, seen, size):
    described = replace(zoo.find(compact_path), minimum_px=96, multiple_of=4)
    clip = textured(length=1, format=vs.GRAY8, width=size[0], height=size[1])
    plain = whole(chain(clip, [ModelStage(described)]))
    seen.sizes.clear()
    seen.bound.most = 128 * 112
    assert worst(plain, whole(chain(clip, [ModelStage(described)]))) <= 1
    tiles = [one for one in seen.sizes if min(one) >= 20]  # thinner are the probe's strips
    assert len(tiles) > 1
    assert all(side >= 96 and side % 4 == 0 for tile in tiles for side in tile)


@settings(deadline=None)
@given(
    cells=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    tile_px=st.integers(12, 80),
    multiple_of=st.sampled_from([1, 2, 4, 5]),
    minimum_px=st.integers(1, 60),
)
def test_tiles_of_any_size_are_allowed_ones_and_make_the_whole_picture(
    cells, tile_px, multiple_of, minimum_px
):
    least = -(-minimum_px // multiple_of) * multiple_of
    height, width = (max(least, cell * multiple_of) for cell in cells)
    source = torch.Generator().manual_seed(0)
    window = torch.rand((1, 1, 3, height, width), generator=source)
    kernel = torch.rand((3, 3, 3, 3), generator=source) / 27

    def run(part):
        assert all(side >= minimum_px and side % multiple_of == 0 for side in part.shape[-2:])
        return functional.conv2d(part[:, 0], kernel, padding=1)

    limits = {"multiple_of": multiple_of, "minimum_px": minimum_px}
    tiled = run_tiled(run, window, growth=(1, 1), receptive_px=1, tile_px=tile_px, **limits)
    assert (tiled - run(window)).abs().max() < 1e-5


@pytest.mark.parametrize("scale", [1, 2])
def test_a_model_of_one_channel_makes_luma_and_chroma_is_scaled(saved, scale):
    network = grey_compact(scale)
    clip = textured(length=2, format=vs.YUV444P8)
    luma, *chroma = planes(vsencore.model(clip, saved(network)), 1)
    assert np.abs(luma - on_luma(network, clip, 1)).max() <= 1
    scaled = clip.resize.Spline36(72 * scale, 48 * scale)
    assert worst([chroma], [planes(scaled, 1)[1:]]) <= 1


@pytest.mark.parametrize("activation", ["R", "BR"])
@pytest.mark.parametrize("format", [vs.YUV420P8, vs.GRAY8])
def test_a_denoiser_of_one_channel_works_on_luma(saved, activation, format):
    network, clip = grey_denoiser(activation), textured(length=1, format=format)
    luma = planes(vsencore.model(clip, saved(network)), 0)[0]
    assert np.abs(luma - on_luma(network, clip, 0)).max() <= 1
    assert np.abs(luma - planes(clip, 0)[0]).max() > 1


@pytest.mark.parametrize("format", [vs.YUV420P8, vs.YUV444P8])
def test_a_denoiser_of_one_channel_leaves_chroma_to_the_chain(saved, format):
    clip = textured(length=1, format=format)
    chroma = planes(vsencore.model(clip, saved(grey_denoiser("R"))), 0)[1:]
    # In 4:2:0 a chain takes chroma to 4:4:4 and back, whatever its stages do.
    untouched = clip if format == vs.YUV444P8 else chain(clip, [Pick(0, 0)])
    assert worst([chroma], [planes(untouched, 0)[1:]]) == 0


def test_a_model_of_one_channel_in_tiles_gives_what_it_gives_whole(saved, seen):
    path = saved(grey_compact(2))
    clip = textured(length=1, width=160, height=128)
    plain = whole(vsencore.model(clip, path))
    seen.bound.most = 128 * 128
    assert worst(plain, whole(vsencore.model(clip, path))) <= 1


def test_models_of_luma_and_of_colour_run_in_one_chain(saved, compact_path):
    grey = ModelStage(zoo.find(saved(grey_compact(1))))
    colour = ModelStage(zoo.find(compact_path))
    clip = textured(length=1, format=vs.YUV444P16)
    fused = whole(chain(clip, [grey, colour]))
    assert worst(fused, whole(chain(chain(clip, [grey]), [colour]))) <= 40  # of 65536: one rounding


def test_a_model_of_faces_is_refused_for_frames(compact_path, monkeypatch):
    face = replace(zoo.find(compact_path), purpose="face", name="gfpgan", architecture="GFPGAN")
    monkeypatch.setattr(models, "find", lambda _: face)
    with pytest.raises(vs.Error, match=r"model: gfpgan.*GFPGAN.*faces.*not whole frames") as caught:
        vsencore.model(textured(), "gfpgan")
    assert "\n" not in str(caught.value)


@pytest.fixture
def nafnet(saved):
    return saved(NAFNet(img_channel=3, width=8, enc_blk_nums=[1], dec_blk_nums=[1]))


def test_a_precision_that_a_model_does_not_stand_is_refused_before_a_frame(nafnet):
    with pytest.raises(vs.Error, match=r'"fp16".*ModelStage.*"fp32" or "bf16"') as caught:
        vsencore.model(textured(), nafnet, precision="fp16")
    assert "\n" not in str(caught.value)


def test_the_stage_that_does_not_stand_a_precision_is_counted_out(compact_path, nafnet):
    stages = [ModelStage(zoo.find(path)) for path in (compact_path, nafnet)]
    with pytest.raises(vs.Error, match="stage 2"):
        chain(textured(), stages, precision="fp16")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_a_model_stands_is_used(compact_path, monkeypatch, precision):
    used, forward = set(), Network.forward

    def run(network, pictures):
        used.add(pictures.dtype)
        return forward(network, pictures)

    monkeypatch.setattr(Network, "forward", run)
    vsencore.model(textured(), compact_path, precision=precision).get_frame(0).close()
    assert used == {{"fp32": torch.float32, "bf16": torch.bfloat16}[precision]}


def test_a_stage_that_says_nothing_of_precision_stands_float32_alone():
    assert chain(textured(), [Convolve()], precision="fp32").num_frames == 12
    with pytest.raises(vs.Error, match='Convolve, which stands "fp32"'):
        chain(textured(), [Convolve()], precision="bf16")


def test_a_model_that_is_changed_while_it_is_opened_is_one_line(compact_path, monkeypatch):
    described = zoo.find(compact_path)
    randoms.compact(described.path, 2, 8, 2, seed=1)
    monkeypatch.setattr(models, "find", lambda _: described)
    with pytest.raises(vs.Error, match=r"model: .*was changed"):
        vsencore.model(textured(), compact_path)
