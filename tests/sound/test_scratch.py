"""What is put aside comes back bit for bit, as often as wanted, and leaves no trace."""

import os
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoreaudio.error import SoundError
from encoreaudio.scratch import Scratch

RATE = 8000
STEREO = ("FL", "FR")


def whole_numbers(frames, channels=2, bits=24):
    """Samples as a converter of so many bits gives them."""
    most = 2 ** (bits - 1)
    return np.random.default_rng(frames).integers(-most, most, (frames, channels)) / most


@contextmanager
def room_for(size):
    """No file may grow beyond so many bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(0, 40000), size=st.integers(1, 30000), channels=st.integers(1, 6))
def test_24_bit_sound_comes_back_bit_for_bit_however_it_was_cut(
    tmp_path_factory, frames, size, channels
):
    samples = whole_numbers(frames, channels)
    speakers = ("FL", "FR", "FC", "LFE", "BL", "BR")[:channels]
    with Scratch(tmp_path_factory.getbasetemp(), RATE, speakers) as scratch:
        size = max(size, frames // 50)
        for at in range(0, frames, size):
            scratch.write(samples[at : at + size])
        assert scratch.frames == frames
        back = list(scratch.blocks())
    assert np.array_equal(np.concatenate([samples[:0], *back]), samples)
    assert all(block.dtype == np.float64 and len(block) <= RATE for block in back)


def test_a_view_that_is_not_in_one_piece_is_written_in_order(tmp_path):
    samples = whole_numbers(5000)
    with Scratch(tmp_path, RATE, STEREO) as scratch:
        scratch.write(samples[:, ::-1])
        assert np.array_equal(np.concatenate(list(scratch.blocks())), samples[:, ::-1])


def test_it_is_read_as_often_as_wanted_and_from_the_start_after_a_reader_that_stopped(tmp_path):
    samples = whole_numbers(3 * RATE + 7)
    with Scratch(tmp_path, RATE, STEREO) as scratch:
        scratch.write(samples)
        next(scratch.blocks())
        for _ in range(2):
            assert np.array_equal(np.concatenate(list(scratch.blocks())), samples)


@pytest.mark.skipif(sys.platform == "win32", reason="there an open file has a name")
def test_the_file_has_no_name_at_any_time(tmp_path):
    with Scratch(tmp_path, RATE, STEREO) as scratch:
        scratch.write(whole_numbers(RATE))
        assert os.listdir(tmp_path) == []
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(SoundError, match=r"cannot work in .*gone: No such file") as caught:
        Scratch(tmp_path / "gone", RATE, STEREO)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("frames", [100, 100_000])
def test_a_full_disk_is_told_with_what_to_do(tmp_path, frames):
    samples = whole_numbers(frames)

    def fill():
        with room_for(50_000), Scratch(tmp_path, RATE, STEREO) as scratch:
            for _ in range(65):
                scratch.write(samples)
            list(scratch.blocks())

    with pytest.raises(SoundError, match="give another work folder"):
        fill()
    assert os.listdir(tmp_path) == []
