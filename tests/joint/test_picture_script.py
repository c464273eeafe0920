"""The picture chain as it is written: every setting reaches its call, and none another's."""

from fractions import Fraction

import pytest
from test_preset import scan_of

from encore.preset import Preset, with_settings
from encore.script import Looks, cut_off, output_rate, picture_script, uses_network


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
    assert "std.Crop(left=0, right=0, top=0, bottom=2)" in picture_script(scan, preset)
    assert "Crop(" not in picture_script(scan_of(720, 480, "mpeg2video", "interlaced"), preset)


FINISHING = ["picture.light.lock=1.0", "picture.faces.strength=0.5", "picture.relight.shadows=0.2"]
FOUND = Looks(light="/w/light.json", faces="/w/faces.json")


def chain(structure, *settings, looks=FOUND, size=(720, 576)):
    scan = scan_of(*size, "mpeg2video", structure)
    preset = with_settings(Preset(), list(settings))
    text = picture_script(scan, preset, device="cpu", looks=looks)
    begin = text.index(")\n", text.index("vsencore.tag"))
    return [line for line in text[begin:].splitlines() if " = " in line], scan, preset


def test_faces_come_before_the_lock_and_dim_light_last():
    lines, _, _ = chain("interlaced", "picture.restore.model=base", *FINISHING)
    assert [line.split("(")[0] for line in lines] == [
        "source = clip",
        "clip = vsencore.remaster",
        "clip = vsencore.faces",
        "clip = vsencore.lock",
        "clip = vsencore.relight",
    ]
    assert "lock" not in lines[1]
    assert "tracks='/w/faces.json'" in lines[2]
    assert "light='/w/light.json'" in lines[4]
    # One rounding, at the end.
    assert "vs.YUV420P16" in lines[1]
    assert "format=vs.YUV420P10" in lines[4]


def test_without_faces_the_network_locks_by_itself():
    lines, _, _ = chain("interlaced", "picture.restore.model=base", "picture.light.lock=0.75")
    (call,) = lines
    assert "lock=0.75" in call
    assert "vs.YUV420P10" in call


def test_faces_that_were_not_found_are_not_called_for():
    lines, _, _ = chain(
        "interlaced", "picture.restore.model=base", *FINISHING, looks=Looks(light="/w/light.json")
    )
    assert [line.split("(")[0] for line in lines] == [
        "clip = vsencore.remaster",
        "clip = vsencore.relight",
    ]
    assert "lock=1.0" in lines[0]


def test_a_classical_chain_is_held_to_its_source_with_the_fields():
    lines, _, _ = chain("interlaced", "picture.light.lock=1.0", "picture.crop.edges=6")
    assert lines[0] == "source = clip.std.Crop(left=8, right=8)"
    assert "deinterlace" in lines[1]
    assert "crop_edges=8" in lines[-3]
    assert "lock(clip, source, strength=1.0" in lines[-2]
    assert lines[-1] == "clip = clip.resize.Point(format=vs.YUV420P10, dither_type='ordered')"


def test_a_telecines_source_is_what_it_was_made_of():
    lines, _, _ = chain("telecine", "picture.light.lock=1.0")
    assert "inverse_telecine" in lines[0]
    assert lines[1] == "source = clip"


@pytest.mark.parametrize("structure", ["interlaced", "telecine", "mixed"])
def test_woven_fields_are_not_finished(structure):
    lines, _, _ = chain(structure, "picture.deinterlace.method=none", *FINISHING)
    assert not any(word in line for line in lines for word in ("faces", "lock", "relight", "P16"))


def test_who_leaves_fields_woven_says_that_they_are_frames():
    scan = scan_of(720, 576, "mpeg2video", "interlaced")
    picture = scan.picture.model_copy(update={"field_order": "top"})
    scan = scan.model_copy(update={"picture": picture})
    woven = with_settings(Preset(), ["picture.deinterlace.method=none"])
    assert "field_order='progressive'" in picture_script(scan, woven)
    assert "field_order='progressive'" not in picture_script(scan, Preset())


def test_nothing_asked_for_changes_nothing():
    assert chain("interlaced")[0] == chain("interlaced", looks=None)[0]
    assert "P16" not in "".join(chain("interlaced")[0])


def test_a_model_of_faces_is_named_with_its_guard():
    lines, _, _ = chain(
        "progressive",
        "picture.faces.strength=0.4",
        "picture.faces.method=gfpgan",
        "picture.faces.identity=normal",
    )
    (call,) = [line for line in lines if "faces" in line]
    assert "strength=0.4" in call
    assert "method='gfpgan', identity='normal'" in call


@pytest.mark.parametrize("locked", [0, 1])
def test_what_a_chain_cuts_off_is_known(locked):
    scan = scan_of(720, 486, "dvvideo", "interlaced")
    borders = scan.picture.borders.model_copy(update={"left": 6, "top": 2})
    scan = scan.model_copy(update={"picture": scan.picture.model_copy(update={"borders": borders})})
    settings = ["picture.crop.borders=true", "picture.crop.edges=6", f"picture.light.lock={locked}"]
    preset = with_settings(Preset(), settings)
    assert cut_off(scan.picture, preset) == ((16, 8, 4, 2) if locked else (12, 6, 2, 0))


@pytest.mark.parametrize(
    ("form", "edges"), [("yuv444p", 11), ("yuv420p", 12), ("yuv422p10le", 12), ("yuv411p", 12)]
)
def test_of_whole_frames_a_lock_cuts_no_more_than_chroma_wants(form, edges):
    scan = scan_of(720, 576, "ffv1", "progressive")
    picture = scan.picture.model_copy(update={"pixel_format": form})
    preset = with_settings(Preset(), ["picture.crop.edges=11", "picture.light.lock=1.0"])
    assert cut_off(picture, preset) == (edges, edges, 0, 0)


def test_hdr_is_not_relit():
    scan = scan_of(1920, 1080, "hevc", "progressive")
    curve = scan.picture.transfer.model_copy(update={"value": "arib-std-b67"})
    picture = scan.picture.model_copy(update={"transfer": curve})
    preset = with_settings(Preset(), FINISHING)
    text = picture_script(scan.model_copy(update={"picture": picture}), preset, looks=FOUND)
    assert "relight" not in text
    assert "lock" in text
