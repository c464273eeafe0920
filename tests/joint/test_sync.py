"""Sync, measured for real: in a remaster every beep is where its flash is, first and last."""

import itertools
from fractions import Fraction

import av
import pytest
import recordings

from encore.job import Request, remaster
from encore.progress import reporter

QUICK = (
    "picture.deinterlace.method=bwdif",
    "picture.restore.strength=0",
    "picture.upscale.method=lanczos",
    "picture.faces.strength=0",
    "picture.light.lock=0",
    "picture.relight.shadows=0",
    "picture.relight.highlights=0",
    "picture.upscale.height=64",
    "encode.codec=x264",
    "encode.preset=ultrafast",
    "encode.crf=35",
)


def _in_sync(source, output, **options):
    remaster(Request(source, output, settings=QUICK, **options), reporter("none"))
    with av.open(str(output)) as container:
        tracks = len(container.streams.audio)
    for track in range(tracks):
        flashes, beeps = recordings.flash_times(output), recordings.beep_times(output, track)
        assert len(flashes) == len(beeps) > 0
        off = [beep - flash for flash, beep in zip(flashes, beeps, strict=True)]
        worst = max(off, key=abs)
        assert abs(worst) <= 0.001, f"track {track}: {1000 * worst:.3f} ms off"
    return flashes


@pytest.mark.slow
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)], ids=["25i", "29.97i"])
def test_ten_minutes_stay_in_sync_from_the_first_beep_to_the_last(tmp_path, rate):
    source = tmp_path / "show.mkv"
    truth = recordings.flash_and_beep(
        source, seconds=600, rate=rate, start_offset_s=0.120, size=(128, 96)
    )
    found = _in_sync(source, tmp_path / "out.mkv")
    assert len(found) == len(truth.flashes_s)
    # Double rate: the flash is on both fields of its frame, so on the frame of its first.
    assert found[-1] == pytest.approx(truth.flashes_s[-1], abs=0.001)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("start_offset_s", [0.120, 0.0])
def test_every_container_keeps_the_start_offset(tmp_path, suffix, start_offset_s):
    source = tmp_path / "show.ts"
    recordings.flash_and_beep(source, seconds=6, start_offset_s=start_offset_s)
    _in_sync(source, tmp_path / f"out{suffix}")


def test_a_range_is_in_sync_too(tmp_path):
    source = tmp_path / "show.mkv"
    recordings.flash_and_beep(source, seconds=10)
    assert len(_in_sync(source, tmp_path / "out.mkv", range_s=(2.5, 6.5))) == 4


@pytest.mark.parametrize("sound_codec", ["mp2", "ac3", "flac", "aac"])
def test_every_source_codec_lands_on_its_flash(tmp_path, sound_codec):
    source = tmp_path / "show.mkv"
    recordings.flash_and_beep(source, seconds=5, sound_codec=sound_codec)
    _in_sync(source, tmp_path / "out.mkv")


def test_the_flashes_of_the_truth_are_a_second_apart(tmp_path):
    truth = recordings.flash_and_beep(tmp_path / "show.mkv", seconds=5)
    gaps = [b - a for a, b in itertools.pairwise(truth.flashes_s)]
    assert gaps == pytest.approx([1.0] * len(gaps), abs=0.05)
