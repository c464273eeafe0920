"""The mix of changed stems: what nobody changes comes back bit for bit, and nothing moves."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.error import SoundError
from encoreaudio.gain import Gain
from encoreaudio.mix import KeptStems, StemFiles, StemMix
from encoreaudio.presence import Presence
from encoreaudio.rumble import HighPass
from encoreaudio.waiting import Waiting

RATE = 48000


class Thirds:
    """A source of stems that holds a thousand frames back: a third, a quarter, and the rest."""

    stems = ("vocals", "drums", "residual")
    latency = 1000

    def __init__(self, channels=2):
        self.held = Waiting(channels)

    def process(self, block):
        self.held.put(block)
        return self.split(self.held.take(max(0, len(self.held) - 1000)))

    def flush(self):
        return self.split(self.held.take(len(self.held)))

    def split(self, mix):
        vocals, drums = mix / 3, np.abs(mix) / 4
        return np.stack((vocals, drums, mix - vocals - drums), axis=2)


def noise(frames, channels=2):
    return np.random.default_rng(frames).standard_normal((frames, channels)) * 0.1


def test_nothing_asked_gives_the_mix_bit_for_bit_and_separates_nothing(chopped):
    samples = noise(RATE)
    mix = StemMix(Thirds(), RATE, 2, {}, {"vocals": 0.0})
    assert mix.latency == 0
    assert np.array_equal(chopped(mix, samples, 777), samples)


def test_stages_that_change_nothing_give_the_mix_bit_for_bit(chopped):
    samples = noise(RATE)
    chains = {name: [Presence(RATE, 2, 0.0), Gain(0.0)] for name in Thirds.stems}
    assert np.array_equal(chopped(StemMix(Thirds(), RATE, 2, chains, {}), samples, 777), samples)


def test_levels_move_their_stems_and_no_other(chopped):
    samples = noise(RATE)
    out = chopped(StemMix(Thirds(), RATE, 2, {}, {"vocals": 6.0, "drums": -12.0}), samples, 777)
    vocals, drums, rest = np.moveaxis(Thirds().split(samples), 2, 0)
    expected = vocals * 10**0.3 + drums * 10**-0.6 + rest
    assert np.abs(out - expected).max() < 1e-15


def test_a_chain_with_a_delay_keeps_its_stem_on_its_sample(chopped):
    samples = noise(3 * RATE)
    chains = {"vocals": [HighPass(RATE, 2, 30.0), Gain(3.0)], "residual": [Gain(-2.0)]}
    out = chopped(StemMix(Thirds(), RATE, 2, chains, {}), samples, 4801)
    vocals, drums, rest = np.moveaxis(Thirds().split(samples), 2, 0)
    high = chopped(HighPass(RATE, 2, 30.0), vocals)
    assert np.abs(out - (high * 10**0.15 + drums + rest * 10**-0.1)).max() < 1e-14


def test_a_level_that_changes_is_crossfaded(chopped):
    samples = np.full((8 * RATE, 2), 0.3)
    steps = [(2.0, 6.0), (5.0, -12.0)]
    out = chopped(StemMix(Thirds(), RATE, 2, {}, {"vocals": steps}), samples, 5000)
    gain = (out - samples * 2 / 3)[:, 0] / 0.1
    assert np.allclose(gain[: 2 * RATE], 1)
    assert np.allclose(gain[3 * RATE : 5 * RATE], 10**0.3)
    assert gain[round(2.5 * RATE)] == pytest.approx((1 + 10**0.3) / 2)
    assert np.allclose(gain[6 * RATE :], 10**-0.6)
    assert np.abs(np.diff(gain)).max() < 2 / RATE


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(0, 50000), size=st.integers(100, 60000))
def test_any_block_size_gives_the_same_bits_and_length(frames, size):
    samples = noise(frames)
    outs = []
    for step in (size, max(1, frames)):
        chains = {"vocals": [HighPass(RATE, 2, 100.0)], "drums": [Presence(RATE, 2, 1.0)]}
        stage = StemMix(Thirds(), RATE, 2, chains, {"drums": [(0.0, 3.0), (0.3, 0.0)]})
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ({"vocals": 6.5}, "level of vocals is 6.5 dB; it may be -12 to 6"),
        ({"vocals": float("nan")}, "level of vocals"),
        ({"piano": 1.0}, "no stem 'piano'; there are: vocals, drums, residual"),
        ({"drums": [(3.0, 1.0), (2.0, 0.0)]}, "not in order"),
    ],
)
def test_what_cannot_be_done_is_said(levels, says):
    with pytest.raises(SoundError, match=says):
        StemMix(Thirds(), RATE, 2, {}, levels)


def test_kept_stems_sum_to_the_mix_and_are_mixed_anew_like_the_first_time(chopped, tmp_path):
    samples = noise(2 * RATE)
    levels = {"vocals": 3.0, "residual": -6.0}
    with StemFiles(tmp_path / "stems", Thirds.stems, RATE, 2, len(samples)) as files:
        first = chopped(StemMix(Thirds(), RATE, 2, {}, levels, files.write), samples, 9999)
        assert not list((tmp_path / "stems").glob("*.wav"))
        files.commit()
    read = [soundfile.read(tmp_path / "stems" / f"{name}.wav")[0] for name in Thirds.stems]
    error = sum(read) - samples
    assert np.sqrt(np.mean(error**2) / np.mean(samples**2)) < 1e-6  # -120 dB
    with KeptStems(tmp_path / "stems", Thirds.stems, RATE, 2) as kept:
        assert tuple(kept.stems) == tuple(Thirds.stems)
        again = chopped(StemMix(kept, RATE, 2, {}, levels), samples, 5000)
    assert np.abs(again - first).max() < 1e-7


def test_kept_stems_of_another_recording_are_refused(tmp_path):
    with pytest.raises(SoundError, match=r"vocals\.wav cannot be read"):
        KeptStems(tmp_path, ("vocals", "residual"), RATE, 2)
    with StemFiles(tmp_path, ("vocals", "residual"), RATE, 2, 100) as files:
        files.write(np.zeros((100, 2, 2)))
        files.commit()
    with pytest.raises(SoundError, match="2 channels at 48000 Hz; the mix has 2 at 44100"):
        KeptStems(tmp_path, ("vocals", "residual"), 44100, 2)
    with (
        KeptStems(tmp_path, ("vocals", "residual"), RATE, 2) as kept,
        pytest.raises(SoundError, match="ends before"),
    ):
        kept.process(noise(101))


def test_no_stem_is_left_of_a_separation_that_was_broken_off(tmp_path):
    with StemFiles(tmp_path, ("vocals", "residual"), RATE, 2, 100) as files:
        files.write(np.zeros((50, 2, 2)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("hertz", "low_db", "high_db"),
    [(100, -0.01, 0.1), (3000, 3.99, 4.01), (15000, 0.0, 0.5)],
)
def test_presence_raises_what_lies_about_3_khz(chopped, hertz, low_db, high_db):
    wave = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)[:, np.newaxis]
    out = chopped(Presence(RATE, 1, 1.0), wave, 3000)[RATE // 2 :]
    assert low_db <= 20 * np.log10(np.sqrt(2 * np.mean(out**2))) <= high_db


@pytest.mark.parametrize("rate", [8000, 192000])
def test_presence_is_stable_at_any_rate_and_nothing_at_amount_0(chopped, rate):
    samples = noise(rate, 3)
    assert np.abs(chopped(Presence(rate, 3, 1.0), samples, 1000)).max() < 2
    assert np.array_equal(chopped(Presence(rate, 3, 0.0), samples, 1000), samples)
