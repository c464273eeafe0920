"""The generated recordings are what they claim: measuring them gives back their truth."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import recordings

NTSC = Fraction(30000, 1001)
HALF_A_SAMPLE_S = 0.5 / 48000


@pytest.mark.parametrize("rate", [Fraction(25), NTSC], ids=["25i", "29.97i"])
@pytest.mark.parametrize(
    ("codec", "ending"),
    [("mp2", "ts"), ("mp2", "vob"), ("aac", "ts"), ("aac", "mkv"), ("flac", "mkv"), ("ac3", "vob")],
)
def test_measured_flashes_and_beeps_are_the_generated_ones(
    tmp_path: Path, rate: Fraction, codec: str, ending: str
) -> None:
    file = tmp_path / f"sync.{ending}"
    truth = recordings.flash_and_beep(file, seconds=4, rate=rate, sound_codec=codec)
    assert len(truth.flashes_s) == 3
    np.testing.assert_allclose(recordings.flash_times(file), truth.flashes_s, atol=1e-4)
    np.testing.assert_allclose(recordings.beep_times(file), truth.beeps_s, atol=HALF_A_SAMPLE_S)


def test_a_flash_begins_at_the_frame_nearest_to_its_second(tmp_path: Path) -> None:
    truth = recordings.flash_and_beep(tmp_path / "sync.ts", seconds=4, rate=NTSC)
    assert truth.flashes_s == pytest.approx([30 / NTSC, 60 / NTSC, 90 / NTSC])


def test_the_sound_begins_later_than_the_picture(tmp_path: Path) -> None:
    file = tmp_path / "sync.mkv"
    recordings.flash_and_beep(file, seconds=2, start_offset_s=0.120, sound_codec="flac")
    with av.open(str(file)) as container:
        picture = next(container.decode(video=0))
        container.seek(0)
        sound = next(container.decode(audio=0))
    assert sound.time - picture.time == pytest.approx(0.120, abs=1e-4)


def test_a_beep_that_comes_late_is_measured_late(tmp_path: Path) -> None:
    file, late = tmp_path / "sync.mkv", tmp_path / "late.mkv"
    truth = recordings.flash_and_beep(file, seconds=3, sound_codec="flac")
    with av.open(str(file)) as source, av.open(str(late), "w") as target:
        tracks = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts, packet.dts = packet.pts + 5, packet.dts + 5  # milliseconds in Matroska
            packet.stream = tracks[packet.stream.index]
            target.mux(packet)
    measured = np.array(recordings.beep_times(late)) - truth.beeps_s
    np.testing.assert_allclose(measured, 0.005, atol=1e-4)


def test_the_two_fields_of_a_frame_show_two_moments(tmp_path: Path) -> None:
    file = tmp_path / "sync.mkv"
    recordings.flash_and_beep(file, seconds=2, codec="ffv1")
    with av.open(str(file)) as container:
        frame = list(container.decode(video=0))[8]
    assert frame.interlaced_frame
    luma = frame.to_ndarray(format="gray").astype(float)
    top, bottom = (luma[parity::2].mean(axis=0).argmax() for parity in (0, 1))
    assert bottom - top == pytest.approx(352 / 32 / 2, abs=2)


@pytest.mark.parametrize(
    ("size", "aspect", "matrix"),
    [((720, 576), Fraction(64, 45), 5), ((720, 480), Fraction(32, 27), 6)],
    ids=["576", "480"],
)
@pytest.mark.parametrize("interlaced", [False, True], ids=["progressive", "interlaced"])
@pytest.mark.parametrize(("codec", "within"), [("ffv1", 0.0), ("mpeg2video", 0.6)])
def test_the_bars_hold_their_values_and_tags(
    tmp_path: Path,
    size: tuple[int, int],
    aspect: Fraction,
    matrix: int,
    interlaced: bool,
    codec: str,
    within: float,
) -> None:
    file = tmp_path / "bars.mkv"
    bars = recordings.colour_bars(
        file, size=size, sample_aspect=aspect, interlaced=interlaced, codec=codec, frames=3
    )
    measured = recordings.bars_of(file, bars)
    assert measured.bits == 8
    np.testing.assert_allclose(measured.ycbcr, [bar.ycbcr for bar in bars], atol=within)
    with av.open(str(file)) as container:
        frame = next(container.decode(video=0))
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == aspect
        assert (frame.colorspace, frame.color_range) == (matrix, 1)
        assert (frame.color_primaries, frame.color_trc) == (matrix, 6)
        assert bool(frame.interlaced_frame) == interlaced


def test_the_75_percent_bars_are_those_of_the_standard() -> None:
    """8-bit 75 % bars as generators show them: yellow 162, 44, 142; blue 35, 212, 114."""
    named = {bar.name: bar.ycbcr for bar in _bars()}
    assert named["yellow 75 %"] == (162, 44, 142)
    assert named["blue 75 %"] == (35, 212, 114)
    assert named["white 100 %"] == (235, 128, 128)
    assert named["black 100 %"] == (16, 128, 128)


def test_the_exact_709_values_are_those_of_the_primaries() -> None:
    """Red at 100 % is 63, 102, 240 in 8-bit BT.709; 601's rounding moves it by less than one."""
    red = next(bar for bar in _bars() if bar.name == "red 100 %")
    assert recordings.as_709(red.ycbcr, bits=8) == pytest.approx((62.6, 102.3, 240.0), abs=0.7)
    assert recordings.as_709((126, 128, 128), bits=10) == pytest.approx((504, 512, 512))


def _bars() -> list[recordings.Bar]:
    return recordings.bars_as_painted()
