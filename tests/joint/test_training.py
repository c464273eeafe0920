"""What a network learns from: films packed, and samples cut from them."""

import os
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

ROOT = Path(__file__).parents[2]
TRAIN = ROOT / "scripts" / "train"
DATA = Path(os.environ.get("ENCORE_DATA", ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    len(list((DATA / "photos").glob("*.webp"))) < 20,
    reason="the photos that films are made of are not here (ENCORE_DATA)",
)


@pytest.fixture(scope="module")
def tools():
    sys.path.insert(0, str(TRAIN))
    import degrade
    import fieldnet
    import pack
    import samples

    yield degrade, pack, samples, fieldnet
    sys.path.remove(str(TRAIN))


@pytest.fixture(scope="module")
def packed(tools, tmp_path_factory):
    degrade, pack, samples, _ = tools
    place = tmp_path_factory.mktemp("films")
    (place / "films").mkdir()
    (place / "packed").mkdir()
    threads = torch.get_num_threads()
    # A seed whose light is calm, so that no sample is dropped for a flash in the shutter.
    degrade.make(degrade.Order(place / "films", 1, 4, "train", progressive=False))
    pack.pack(place / "films" / "film_00001", place / "packed", reach=3)
    torch.set_num_threads(threads)
    return samples.packs(place / "packed")


def test_a_sample_shows_what_its_truth_shows(tools, packed):
    _, _, samples, _ = tools
    drawn = samples.draw(packed, np.random.default_rng(1), 8, (32, 64))
    luma, _ = drawn.truth()
    centre = drawn.centre()[:, :1]
    small = torch.nn.functional.avg_pool2d(luma, (32, 16))
    seen = torch.nn.functional.avg_pool2d(centre, (8, 8))
    assert torch.corrcoef(torch.stack([small.flatten(), seen.flatten()]))[0, 1] > 0.97


def test_a_pair_is_one_place_at_two_moments(tools, packed):
    _, _, samples, _ = tools
    drawn, turned = samples.draw_pairs(packed, np.random.default_rng(2), 6, (32, 64))
    luma, _ = drawn.truth()
    assert len(luma) == 12
    assert all(one != other for one, other in turned)  # fields that follow are of both parities
    aligned = contrary = 0.0
    for (one, other), first, second in zip(turned, luma[::2], luma[1::2], strict=True):
        upright = (first.flip(-2) if one else first) - (second.flip(-2) if other else second)
        aligned += float(upright.abs().mean())
        contrary += float((first - second).abs().mean())
    assert aligned < 0.5 * contrary


def test_backwards_twice_and_mirrored_twice_is_as_it_was(tools, packed):
    _, _, samples, _ = tools
    drawn = samples.draw(packed, np.random.default_rng(3), 1, (32, 64))
    for change in (samples._mirrored, samples._reversed):
        once, twice = change(drawn), change(change(drawn))
        assert torch.equal(twice.cells, drawn.cells)
        assert not torch.equal(once.cells, drawn.cells)
    # Of the centre picture only the mirror changes anything.
    assert torch.equal(samples._reversed(drawn).centre(), drawn.centre())
    assert torch.equal(samples._mirrored(drawn).centre(), drawn.centre().flip(-1))


def test_a_training_makes_weights_that_the_engine_reads(tools, packed, tmp_path):
    fieldnet = tools[3]
    told = tomllib.loads((TRAIN / "base.toml").read_text())
    told |= {"channels": 16, "deep": 1, "minutes": 0.03, "crop_columns": 64}
    (tmp_path / "data").mkdir()
    for split in ("train", "val"):
        (tmp_path / "data" / split).symlink_to(packed[0].folder.parent)
    recipe = fieldnet.Recipe(**told)
    fieldnet.train(recipe, tmp_path / "data", tmp_path / "run", torch.device("cpu"), False)
    file = tmp_path / "run" / "weights.safetensors"
    from vsencore.nets.bundled import load

    network = load(str(file), "fields")
    assert network.shape == recipe.shape
    assert bool((network.ranges > 0).all())
    with safe_open(file, "pt") as opened:
        assert int(opened.metadata()["steps"]) > 0
    assert (tmp_path / "run" / "preview.png").exists()
    assert (tmp_path / "run" / "log.jsonl").read_text().count("\n") >= 1


def test_a_flicker_is_seen_and_an_error_that_stays_is_none(tools):
    fieldnet = tools[3]
    truth = torch.zeros(4, 1, 8, 8), torch.zeros(4, 2, 4, 4)
    steady = torch.rand(2, 1, 8, 8).repeat_interleave(2, 0)
    turned = [(False, True), (True, False)]
    same = torch.stack([one.flip(-2) if n in (1, 2) else one for n, one in enumerate(steady)])
    calm = fieldnet.flicker((same, truth[1]), truth, turned)
    assert calm < 0.01
    assert fieldnet.flicker((steady, truth[1]), truth, turned) > 10 * calm
