"""The down-mix: BS.775's table, and nothing lost."""

import numpy as np
import pytest

from encoreaudio import SoundError
from encoreaudio.downmix import Downmix

FIVE_ONE = ("FL", "FR", "FC", "LFE", "BL", "BR")
SIDES = ("FL", "FR", "FC", "LFE", "SL", "SR")
HALF = np.sqrt(0.5)


@pytest.mark.parametrize("speakers", [FIVE_ONE, SIDES])
def test_stereo_of_five_one_is_the_standards_table(speakers, chopped):
    mixed = chopped(Downmix(speakers), np.eye(6))
    table = [[1, 0], [0, 1], [HALF, HALF], [0, 0], [HALF, 0], [0, HALF]]
    assert np.allclose(mixed, table, atol=1e-12)


def test_mono_of_five_one_is_the_standards_table(chopped):
    stage = Downmix(FIVE_ONE, "mono")
    assert np.allclose(chopped(stage, np.eye(6))[:, 0], [HALF, HALF, 1, 0, 0.5, 0.5])
    assert stage.speakers == ("FC",)


def test_the_lfe_comes_in_only_when_asked(chopped):
    mixed = chopped(Downmix(FIVE_ONE, lfe_db=-6.0206), np.eye(6))
    assert np.allclose(mixed[3], 0.5, atol=1e-5)


@pytest.mark.parametrize("to", ["stereo", "mono"])
@pytest.mark.parametrize(
    "speakers", [("FL", "FR", "FC"), FIVE_ONE, (*SIDES[:4], "BL", "BR", "SL", "SR"), ("FC",)]
)
def test_the_centre_is_never_dropped(speakers, to, chopped):
    alone = np.zeros((1, len(speakers)))
    alone[0, speakers.index("FC")] = 1
    assert (chopped(Downmix(speakers, to), alone) > 0.7).all()


def test_what_has_the_wanted_channels_passes_bit_for_bit(chopped):
    samples = np.random.default_rng(0).standard_normal((1000, 2))
    assert np.array_equal(chopped(Downmix(("FL", "FR")), samples), samples)
    assert np.array_equal(chopped(Downmix(("FC",), "mono"), samples[:, :1]), samples[:, :1])


def test_any_block_size_gives_the_same_bits(chopped):
    samples = np.random.default_rng(0).standard_normal((5000, 6))
    outs = [chopped(Downmix(FIVE_ONE), samples, size) for size in (None, 1, 777)]
    assert np.array_equal(outs[0], outs[1])
    assert np.array_equal(outs[0], outs[2])
    assert chopped(Downmix(FIVE_ONE), samples[:0]).shape[0] == 0


def test_a_channel_without_a_place_is_refused():
    with pytest.raises(SoundError, match="where channel C0, C1 stands"):
        Downmix(("C0", "C1"))
