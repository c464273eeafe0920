"""Hiss repair: what it takes, what it leaves, and that it is the same however it is fed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn import functional

from encoreaudio import hissnet
from encoreaudio.hiss import HissRepair
from encoreaudio.noise import NoiseFinder, print_of

RATE = 8000


def white(frames, channels, level=0.01):
    return np.random.default_rng(7).standard_normal((frames, channels)) * level


def snr_db(clean, heard):
    return 10 * np.log10(np.sum(clean**2) / np.sum((heard - clean) ** 2))


def found(samples, rate):
    finder = NoiseFinder(rate, samples.shape[1])
    finder.add(samples)
    return finder.finish()


@pytest.mark.parametrize(("snr", "least_db"), [(10, 6.0), (20, 3.0), (30, 1.5)])
def test_white_hiss_on_music_goes_and_the_music_stays(chopped, music, snr, least_db):
    clean, rate = music
    noise = white(*clean.shape, level=np.sqrt(np.mean(clean**2)) * 10 ** (-snr / 20))
    noisy = clean + noise
    out = chopped(HissRepair(rate, 2, found(noisy, rate)), noisy)
    assert snr_db(clean, out) - snr_db(clean, noisy) > least_db


def test_clean_music_passes_bit_for_bit(chopped, music):
    clean, rate = music
    assert np.array_equal(chopped(HissRepair(rate, 2, found(clean, rate)), clean), clean)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_bare_hiss_goes_down_evenly_to_the_floor(chopped, channels):
    noise = white(6 * RATE, channels)
    out = chopped(HissRepair(RATE, channels, print_of(noise, RATE)), noise)
    fall_db = 10 * np.log10(np.mean(out**2, axis=0) / np.mean(noise**2, axis=0))
    assert np.all(fall_db < -12)
    assert np.all(fall_db > -27)


def test_hiss_goes_down_right_after_digital_silence(chopped):
    noise = white(6 * RATE, 2)
    noise[: 2 * RATE] = 0
    out = chopped(HissRepair(RATE, 2, print_of(noise[2 * RATE :], RATE)), noise)
    first = slice(2 * RATE + RATE // 20, 2 * RATE + RATE // 2)
    assert 10 * np.log10(np.mean(out[first] ** 2) / np.mean(noise[first] ** 2)) < -12


def test_a_steady_tone_keeps_its_level_within_a_tenth_of_a_decibel(chopped):
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(8 * RATE) / RATE)[:, np.newaxis]
    noise = white(8 * RATE, 1, 0.003)
    out = chopped(HissRepair(RATE, 1, print_of(noise, RATE)), tone + noise)
    middle = slice(2 * RATE, 6 * RATE)
    gain = np.sum((out * tone)[middle]) / np.sum((tone * tone)[middle])
    assert abs(20 * np.log10(gain)) < 0.1


def test_amount_zero_gives_the_bits_and_half_gives_half(chopped):
    noise = white(3 * RATE, 2)
    print_ = print_of(noise, RATE)
    none, half, whole = (chopped(HissRepair(RATE, 2, print_, a), noise) for a in (0, 0.5, 1))
    assert np.array_equal(none, noise)
    assert np.allclose(half, (noise + whole) / 2, atol=1e-9)


@pytest.mark.parametrize("frames", [0, 1, 1000])
@pytest.mark.parametrize("rate", [8000, 192000])
def test_next_to_nothing_comes_out_as_long_as_it_went_in(chopped, frames, rate):
    print_ = print_of(white(rate, 2), rate)
    for samples in (np.zeros((frames, 2)), white(frames, 2)):
        out = chopped(HissRepair(rate, 2, print_), samples)
        assert out.shape == samples.shape
        assert np.all(np.isfinite(out))


@settings(max_examples=4, deadline=None)
@given(frames=st.integers(40000, 90000), size=st.integers(3000, 60000))
def test_any_block_size_gives_the_same_bits_and_length(frames, size):
    samples = white(frames, 2)
    print_ = print_of(samples[:8000], RATE)
    outs = []
    for step in (size, frames):
        stage = HissRepair(RATE, 2, print_)
        parts = [stage.process(samples[at : at + step]) for at in range(0, frames, step)]
        outs.append(np.concatenate([*parts, stage.flush()]))
    assert outs[0].shape == samples.shape
    assert np.array_equal(*outs)


def test_the_net_is_the_convolutions_that_it_was_trained_as():
    held = load_file(Path(hissnet.__file__).with_name("trained") / "hiss.safetensors")
    random = np.random.default_rng(0)
    own, other = random.standard_normal((2, 2, 24, 64)).astype(np.float32) * 2

    def layer(seen, name):
        weight = held[f"{name}.weight"]
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        return functional.conv2d(seen, weight, held[f"{name}.bias"], padding=padding)

    seen = torch.stack((torch.from_numpy(own), torch.from_numpy(other)), 1) / 3
    seen = functional.relu(layer(functional.pixel_unshuffle(seen, hissnet.PATCH), "first"))
    around = functional.relu(layer(functional.avg_pool2d(seen, (1, hissnet.BROAD)), "broad"))
    seen = seen + layer(around, "broader").repeat_interleave(hissnet.BROAD, 3)
    raw = layer(functional.relu(layer(seen, "second")), "third")
    logit = functional.pixel_shuffle(raw, hissnet.PATCH)[:, 0]
    logit += held["slope"] * torch.from_numpy(own)
    assert np.allclose(hissnet.gain(own, other), torch.sigmoid(logit).numpy(), atol=1e-5)
