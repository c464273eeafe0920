"""The drawing shows what the timeline tells, the same in PNG and in SVG."""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from encore.errors import RequestError
from encore.light_events import Kind
from encore.light_page import draw, layout, png, svg
from encore.lights import Event, Timeline, Track

RATE = Fraction(25)


def event(kind: Kind, first: int, last: int, **more: object) -> Event:
    times = {"start_s": first / 25, "end_s": (last + 1) / 25}
    return Event.model_validate({"kind": kind, "first": first, "last": last, **times, **more})


def made(frames: int = 1000, *events: Event, colour: str = "#0000ff") -> Timeline:
    return Timeline(
        frames=frames,
        rate=RATE,
        start_s=0.0,
        events=list(events),
        states=[],
        track=Track(
            every=1,
            low=[0.2] * frames,
            mean=[0.2] * frames,
            high=[0.2] * frames,
            colour=[colour] * frames,
        ),
    )


def shown(told: Timeline) -> Image.Image:
    return Image.open(io.BytesIO(png(layout(told)))).convert("RGB")


def filled(picture: Image.Image, colour: tuple[int, int, int]) -> list[int]:
    """The columns that hold a colour."""
    width, height = picture.size
    pixels = picture.load()
    assert pixels is not None
    return [x for x in range(width) if any(pixels[x, y] == colour for y in range(height))]


def test_the_light_is_drawn_in_its_own_colour_over_the_whole_width() -> None:
    columns = filled(shown(made()), (0, 0, 255))
    assert columns == list(range(columns[0], columns[-1] + 1))
    assert len(columns) > 1400


def test_a_strobe_stands_where_it_is_and_says_its_rate() -> None:
    told = made(1000, event("strobe", 500, 749, rate_hz=8.25))
    whole = filled(shown(made()), (0, 0, 255))
    bar = filled(shown(told), (255, 159, 28))
    assert (bar[0] - whole[0]) / len(whole) == pytest.approx(0.5, abs=0.003)
    assert (bar[-1] - whole[0]) / len(whole) == pytest.approx(0.75, abs=0.003)
    assert any(shape.text == "8.2 Hz" for shape in layout(told).shapes)


def test_a_wash_is_a_band_of_its_colour() -> None:
    told = made(1000, event("wash", 0, 249, colour="#ff0080", name="magenta"))
    band, whole = filled(shown(told), (255, 0, 128)), filled(shown(made()), (0, 0, 255))
    assert len(band) / len(whole) == pytest.approx(0.25, abs=0.003)


def test_every_cut_of_a_short_show_is_seen() -> None:
    cuts = [event("cut", at, at) for at in (100, 300, 301 + 200, 900)]
    without, with_cuts = layout(made()), layout(made(1000, *cuts))
    assert len(with_cuts.shapes) - len(without.shapes) == len(cuts)


def test_rates_never_lie_over_each_other() -> None:
    strobes = [
        event("strobe", at, at + 3, rate_hz=7.5) for at in (*range(0, 400, 6), *range(420, 980, 40))
    ]
    texts = [s for s in layout(made(1000, *strobes)).shapes if s.text.endswith(" Hz")]
    drawn = [shape.points[0][0] for shape in texts]
    assert 1 < len(drawn) < len(strobes)
    assert all(b - a >= 40 for a, b in pairwise(drawn))


def test_a_two_hour_show_is_drawn_in_strips() -> None:
    one = made(1000)
    hours = one.model_copy(update={"frames": 180_000})
    assert layout(hours).height > 3 * (layout(one).height - 60)


def test_svg_is_sound_xml_with_the_shapes_of_the_png() -> None:
    page = layout(made(1000, event("cut", 100, 100)), "A & B <live>")
    root = ElementTree.fromstring(svg(page))
    assert len(list(root)) == len(page.shapes)
    assert any("A & B <live>" in (text.text or "") for text in root)
    assert int(root.attrib["width"]) == page.width


def test_a_file_is_written_by_its_ending(tmp_path: Path) -> None:
    draw(made(), tmp_path / "light.png")
    draw(made(), tmp_path / "light.svg")
    assert (tmp_path / "light.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "light.svg").read_text().startswith("<svg")
    with pytest.raises(RequestError, match=r"\.png or \.svg"):
        draw(made(), tmp_path / "light.gif")
