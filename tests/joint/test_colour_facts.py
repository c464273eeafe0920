"""Colour and aspect: tags are read, and what has none is guessed by the rule of its system."""

from __future__ import annotations

from fractions import Fraction

import pytest

from encore.colour import colours_of, sample_aspect_of, system_of

_UNTAGGED = {"_Matrix": 2, "_Transfer": 2, "_Primaries": 2}


@pytest.mark.parametrize(
    ("width", "height", "rate", "matrix"),
    [
        (720, 576, Fraction(25), "bt470bg"),
        (720, 480, Fraction(30000, 1001), "smpte170m"),
        (640, 360, Fraction(25), "bt470bg"),
        (640, 360, Fraction(30), "smpte170m"),
        (1280, 720, Fraction(25), "bt709"),
        (1440, 1080, Fraction(25), "bt709"),
    ],
)
def test_untagged_picture_is_guessed_by_its_system_and_said_so(
    width: int, height: int, rate: Fraction, matrix: str
) -> None:
    colours = colours_of(_UNTAGGED, "h264", "yuv420p", system_of(width, height, rate))
    assert colours.matrix.value == colours.primaries.value == matrix
    assert not colours.matrix.tagged
    assert "not tagged" in colours.matrix.why


def test_tags_win_over_rules() -> None:
    tagged = {"_Matrix": 1, "_Transfer": 1, "_Primaries": 1, "_Range": 1, "_ChromaLocation": 2}
    colours = colours_of(tagged, "h264", "yuv420p", "625")
    values = [fact.value for fact in colours]
    assert values == ["bt709", "bt709", "bt709", "pc", "topleft"]
    assert all(fact.tagged for fact in colours)


@pytest.mark.parametrize(
    ("codec", "pixels", "location"),
    [
        ("mpeg2video", "yuv420p", "left"),
        ("mpeg1video", "yuv420p", "center"),
        ("dvvideo", "yuv420p", "topleft"),
        ("h264", "yuv420p", "left"),
    ],
)
def test_chroma_is_sited_by_the_rule_of_the_codec(codec: str, pixels: str, location: str) -> None:
    assert colours_of(_UNTAGGED, codec, pixels, "625").chroma_location.value == location


@pytest.mark.parametrize(
    ("width", "height", "system", "aspect"),
    [
        (720, 576, "625", Fraction(12, 11)),
        (720, 480, "525", Fraction(10, 11)),
        (352, 288, "625", Fraction(12, 11)),
        (352, 576, "625", Fraction(24, 11)),
        (640, 360, "525", Fraction(1)),
        (1920, 1080, "hd", Fraction(1)),
    ],
)
def test_missing_aspect_is_that_of_a_4_3_television(
    width: int, height: int, system: str, aspect: Fraction
) -> None:
    assert sample_aspect_of(None, width, height, system) == (aspect, False)  # type: ignore[arg-type]


def test_tagged_aspect_is_taken_as_it_is() -> None:
    assert sample_aspect_of(Fraction(64, 45), 720, 576, "625") == (Fraction(64, 45), True)
