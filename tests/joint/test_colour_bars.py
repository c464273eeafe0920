"""Colour bars through the whole job: BT.601 in, BT.709 out, exact to a code value at 10 bit."""

import numpy as np
import pytest
import recordings

from encore.job import Request, remaster
from encore.progress import reporter

# Rec. BT.601-7 section 2 and Rec. BT.709-6 section 1: x and y of red, green, blue; white is D65.
PRIMARIES = {
    "625": ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    "525": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    "709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
}
D65 = (0.3127, 0.3290)


def exact_709(ycbcr, system):
    """10-bit BT.709 of 8-bit BT.601, by way of the light of a BT.1886 display (2.4 power)."""
    y, cb, cr = (ycbcr[0] - 16) / 219, (ycbcr[1] - 128) / 224, (ycbcr[2] - 128) / 224
    r, b = y + 1.402 * cr, y + 1.772 * cb
    g = (y - 0.299 * r - 0.114 * b) / 0.587
    light = np.maximum([r, g, b], 0) ** 2.4
    to_709 = np.linalg.inv(_to_xyz("709")) @ _to_xyz(system)
    r, g, b = np.maximum(to_709 @ light, 0) ** (1 / 2.4)
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    return (
        4 * (16 + 219 * y),
        4 * (128 + 224 * (b - y) / 1.8556),
        4 * (128 + 224 * (r - y) / 1.5748),
    )


def _to_xyz(system):
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in PRIMARIES[system]]).T
    white = np.array([D65[0] / D65[1], 1, (1 - D65[0] - D65[1]) / D65[1]])
    return columns * np.linalg.solve(columns, white)


@pytest.mark.parametrize(
    ("size", "system", "codec", "interlaced"),
    [
        ((720, 576), "625", "ffv1", False),
        ((720, 576), "625", "ffv1", True),
        ((720, 480), "525", "ffv1", False),
        ((720, 480), "525", "mpeg2video", True),
    ],
)
def test_bars_come_out_as_the_standards_say(tmp_path, size, system, codec, interlaced):
    source = tmp_path / "bars.mkv"
    bars = recordings.colour_bars(source, size=size, codec=codec, interlaced=interlaced, frames=5)
    result = remaster(
        Request(
            source,
            tmp_path / "out.mkv",
            preset="concert-dvd-pal",
            # Dim light opened is another light, and meant to be.
            settings=(
                "picture.restore.strength=0",
                "picture.relight.shadows=0",
                "picture.relight.highlights=0",
                "encode.codec=ffv1",
            ),
        ),
        reporter("none"),
    )
    measured = recordings.bars_of(result.output, bars)
    assert measured.bits == 10
    for bar, found in zip(bars, measured.ycbcr, strict=True):
        expected = exact_709(bar.ycbcr, system)
        # MPEG-2's own rounding is half a code value of 8 bit, which is two of 10.
        room = 1.0 if codec == "ffv1" else 3.0
        assert np.abs(np.subtract(found, expected)).max() <= room, (bar.name, found, expected)
