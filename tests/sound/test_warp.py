"""The source on another clock: how true each sample is, and what is heard where."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import soundfile

from encoreaudio.stream import Reader
from encoreaudio.warp import AlignedReader, Alignment, Gap, Segment, interpolated

RATE = 48000


def alignment(segments, seconds=4.0, gain_db=0.0, rate=44100):
    return Alignment(
        reference_frames=round(seconds * rate),
        reference_rate_hz=rate,
        reference_start_s=0.0,
        segments=tuple(segments),
        gaps=(Gap(0.0, 1.0),),
        edits=(),
        offset_s=0.0,
        drift_ppm=0.0,
        residual_ms=0.0,
        confidence=1.0,
        reference_gain_db=gain_db,
    )


def straight(from_s, to_s, offset_s, rate=1.0):
    return Segment(from_s, to_s, ((0.0, offset_s), (1.0, offset_s + rate)))


def wave(hertz, at_s):
    return 0.5 * np.sin(2 * np.pi * hertz * at_s + 0.3)


@pytest.fixture
def sine(tmp_path):
    """Eight seconds of 1 kHz left and 15 kHz right."""
    at = np.arange(8 * RATE) / RATE
    path = tmp_path / "sine.wav"
    soundfile.write(path, np.stack([wave(1000, at), wave(15000, at)], 1), RATE, "FLOAT")
    return path


def played(source, found, **settings):
    with AlignedReader(source, found, **settings) as reader:
        out = np.concatenate(list(reader.blocks()))
        assert out.shape == (reader.frames, reader.channels)
    return out


@pytest.mark.parametrize("hertz", [50, 1000, 10000, 20000, 22500])
@pytest.mark.parametrize("ppm", [50, -1000])
def test_a_tone_between_samples_is_the_tone_itself_to_a_hundred_db(hertz, ppm):
    at = 1000.37 + np.arange(20000) * (1 + ppm * 1e-6)
    tone = wave(hertz, np.arange(24000) / RATE)[:, np.newaxis]
    error = interpolated(tone, at)[:, 0] - wave(hertz, at / RATE)
    assert 10 * np.log10(np.mean(error**2) / 0.125) < -110


def test_beyond_the_samples_there_is_silence():
    out = interpolated(np.ones((500, 1)), np.arange(-900.5, 1500.5))[:, 0]
    assert np.abs(out[:600]).max() < 1e-6
    assert np.abs(out[-600:]).max() < 1e-6
    assert abs(out[1150] - 1) < 1e-3


def test_the_source_is_heard_at_its_place_and_as_long_as_the_reference(sine):
    out = played(sine, alignment([straight(0, 4, 1.2345, 1.0003)]))
    assert len(out) == 4 * RATE
    at = 1.2345 + 1.0003 * np.arange(len(out)) / RATE
    for channel, hertz in enumerate((1000, 15000)):
        assert np.abs(out[:, channel] - wave(hertz, at)).max() < 1e-5


@pytest.mark.parametrize("frames", [0, 1, 44101, 100003])
def test_the_length_is_the_references_to_the_sample(sine, frames):
    found = replace(alignment([straight(0, 4, 0.5)]), reference_frames=frames)
    with AlignedReader(sine, found) as reader:
        assert reader.frames == round(Fraction(frames * RATE, 44100))
        assert sum(len(block) for block in reader.blocks()) == reader.frames
        assert reader.speakers == ("FL", "FR")


def test_a_clock_that_wanders_is_followed_from_knot_to_knot(sine):
    knots = ((0.0, 1.0), (1.5, 2.501), (4.0, 4.999))
    out = played(sine, alignment([Segment(0, 4, knots)]))[:, 0]
    at = np.interp(np.arange(len(out)) / RATE, *zip(*knots, strict=True))
    assert np.abs(out - wave(1000, at)).max() < 1e-5


def test_a_gap_is_silent_and_fades_at_both_ends(sine):
    out = played(sine, alignment([straight(0, 1, 0.0), straight(2, 4, -1.0)]))
    assert np.abs(out[round(1.006 * RATE) : round(1.994 * RATE)]).max() == 0
    assert np.abs(np.diff(out[:, 0])).max() < 1.05 * 0.5 * 2 * np.pi * 1000 / RATE


def test_a_gap_is_filled_with_the_reference_at_the_sources_level(sine, tmp_path):
    at = np.arange(4 * 44100) / 44100
    soundfile.write(tmp_path / "camera.wav", 0.1 * wave(440, at), 44100, "FLOAT")
    found = alignment([straight(0, 1, 0.0), straight(2, 4, -1.0)], gain_db=20.0)
    out = played(sine, found, fill=tmp_path / "camera.wav")
    middle = slice(round(1.1 * RATE), round(1.9 * RATE))
    heard = np.arange(len(out))[middle] / RATE
    for channel in (0, 1):
        assert np.abs(out[middle, channel] - wave(440, heard)).max() < 1e-4


def test_a_cut_back_to_what_was_played_long_ago_plays_it_again(sine):
    out = played(sine, alignment([straight(0, 2, 6.0), straight(2, 4, -2.0)]))[:, 0]
    at = np.arange(len(out)) / RATE
    before, after = slice(0, round(1.99 * RATE)), slice(round(2.01 * RATE), -RATE // 2)
    assert np.abs(out[before] - wave(1000, at[before] + 6))[: -RATE // 10].max() < 1e-5
    assert np.abs(out[after] - wave(1000, at[after] - 2))[RATE // 10 :].max() < 1e-5


def test_it_stands_where_a_reader_stands(sine):
    with Reader(sine) as plain, AlignedReader(sine, alignment([straight(0, 4, 0.0)])) as ours:
        for fact in ("sample_rate_hz", "speakers", "channels", "start_s", "damage", "lost_s"):
            assert getattr(plain, fact) == getattr(ours, fact)
