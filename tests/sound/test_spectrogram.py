"""The picture of a stream: what stands where, and how large it may become."""

import numpy as np
import pytest

from encoreaudio.spectrogram import SpectrogramFinder


def heard(samples, rate, size=10000):
    finder = SpectrogramFinder(rate, samples.shape[1])
    for at in range(0, len(samples), size):
        finder.add(samples[at : at + size])
    return finder.finish()


@pytest.mark.parametrize(("hertz", "rate"), [(50, 48000), (1000, 44100), (9000, 192000)])
def test_a_tone_stands_in_its_band_at_its_time(hertz, rate):
    samples = np.zeros((4 * rate, 2))
    at = np.arange(2 * rate) / rate
    samples[2 * rate :] = 0.5 * np.sin(2 * np.pi * hertz * at)[:, np.newaxis]
    picture = heard(samples, rate)
    band, column = np.unravel_index(picture.level_db.argmax(), picture.level_db.shape)
    resolution = rate / 8192
    assert picture.edges_hz[band] - 2 * resolution <= hertz
    assert hertz <= picture.edges_hz[band + 1] + 2 * resolution
    assert 2.0 - picture.step_s <= column * picture.step_s <= 4.0
    assert picture.level_db[:, : int(1.8 / picture.step_s)].max() == -160.0


def test_any_block_size_gives_the_same_picture():
    samples = np.random.default_rng(1).standard_normal((50000, 1))
    assert np.array_equal(heard(samples, 8000).level_db, heard(samples, 8000, 77).level_db)


def test_nothing_gives_an_empty_picture():
    assert heard(np.zeros((0, 2)), 48000).level_db.shape == (200, 0)
