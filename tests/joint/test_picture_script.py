"""The picture chain as it is written: every setting reaches its call, and none another's."""

from fractions import Fraction

import pytest
from test_preset import scan_of

from encore.preset import Preset, with_settings
from encore.script import output_rate, picture_script, uses_network


def written(structure, *settings, device="cpu"):
    scan = scan_of(720, 576, "mpeg2video", structure)
    preset = with_settings(Preset(), list(settings))
    script = picture_script(scan, preset, device=device)
    calls = [line for line in script.splitlines() if line.startswith("clip = vsencore.")]
    return [call for call in calls if not call.startswith("clip = vsencore.tag")], scan, preset


def test_a_network_takes_the_place_of_all_three_steps():
    calls, _, _ = written("interlaced", "picture.restore.model=base", "picture.restore.grain=0.25")
    (call,) = calls
    assert "remaster(clip, height=1080, model='base', grain=0.25, rate='double', tff=True" in call
    assert "device='cpu'" in call
    assert "strength" not in call


def test_a_networks_strength_is_handed_on():
    calls, _, _ = written(
        "progressive", "picture.restore.model=base", "picture.restore.strength=0.3"
    )
    assert "strength=0.3" in calls[0]
    assert "tff" not in calls[0]


@pytest.mark.parametrize("structure", ["interlaced", "telecine", "mixed"])
def test_what_is_left_woven_is_shown_to_no_network(structure):
    calls, scan, preset = written(
        structure, "picture.restore.model=base", "picture.deinterlace.method=none"
    )
    assert not uses_network(scan.picture, preset)
    assert not any("remaster" in call or "telecine" in call for call in calls)


def test_a_telecine_is_undone_before_a_network_sees_it():
    calls, scan, preset = written("telecine", "picture.restore.model=base")
    assert "inverse_telecine" in calls[0]
    assert "remaster" in calls[1]
    assert "rate=" not in calls[1]
    assert output_rate(scan.picture, preset) == Fraction(25) * 4 / 5


def test_single_steps_by_a_network_get_the_device_and_the_grain():
    calls, _, _ = written(
        "interlaced",
        "picture.deinterlace.method=fieldnet",
        "picture.restore.method=framenet",
        "picture.restore.grain=0.5",
        "picture.upscale.method=framenet",
    )
    assert len(calls) == 3
    assert all("device='cpu'" in call for call in calls)
    assert "strength=1.0" in calls[1]
    assert "grain=0.5" in calls[1]


def test_classical_steps_get_neither():
    calls, _, _ = written("interlaced", "picture.restore.grain=0.5")
    assert "strength=0.4" in calls[1]
    assert not any("device=" in call or "grain=" in call for call in calls)


def test_lines_that_no_field_can_hold_are_cut_off():
    scan = scan_of(720, 486, "mpeg2video", "interlaced")
    preset = with_settings(Preset(), ["picture.restore.model=base"])
    assert "clip = clip.std.Crop(bottom=2)" in picture_script(scan, preset)
    assert "Crop(" not in picture_script(scan_of(720, 480, "mpeg2video", "interlaced"), preset)
