"""Presets: every one that ships is right, and every wrong one is refused with the right name."""

from fractions import Fraction

import pytest

from encore.errors import RequestError
from encore.facts import ColourFact, PictureFacts, Scan
from encore.preset import Preset, choose, flatten, load, names, parse, with_settings

FIXED = [
    "picture.deinterlace.method",
    "picture.deinterlace.rate",
    "picture.restore.strength",
    "picture.upscale.height",
    "picture.upscale.method",
    "sound.repair.dc",
    "sound.loudness.target_lufs",
    "sound.loudness.ceiling_dbtp",
    "sound.loudness.mode",
    "encode.codec",
    "encode.crf",
    "encode.preset",
    "encode.audio_codec",
]


def test_the_promised_presets_are_there():
    promised = {"concert-dvd-pal", "concert-dvd-ntsc", "concert-broadcast-1080i", "concert-tape"}
    assert promised | {"gentle", "audio-only", "auto"} <= set(names())


@pytest.mark.parametrize("name", [name for name in names() if name != "auto"])
def test_every_shipped_preset_loads_and_has_a_title(name):
    assert load(name).title


@pytest.mark.parametrize("key", FIXED)
def test_keys_that_others_rely_on_exist(key):
    assert key in flatten(Preset())


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("picture.restore.strength=0.25", "picture.restore.strength", 0.25),
        ("picture.crop.borders=true", "picture.crop.borders", True),
        ("sound.loudness.target_lufs=none", "sound.loudness.target_lufs", "none"),
        ('sound.loudness.target_lufs="none"', "sound.loudness.target_lufs", "none"),
        (" encode.codec = ffv1 ", "encode.codec", "ffv1"),
        ("sound.repair.dc=0", "sound.repair.dc", 0),
    ],
)
def test_set_changes_just_the_one_setting(setting, key, value):
    before, after = flatten(Preset()), flatten(with_settings(Preset(), [setting]))
    assert after[key] == value
    assert {k for k in after if after[k] != before[k]} <= {key}


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("picture.restore.strenght=0.5", "did you mean 'picture.restore.strength'"),
        ("restore.strength=0.5", "did you mean 'picture.restore.strength'"),
        ("encode.codec=x256", "did you mean 'x265'"),
        ("picture.deinterlace.method=qtgm", "did you mean 'qtgmc'"),
        ("picture.restore.strength=2", "less than or equal to 1"),
        ("picture.upscale.height=1081", "multiple of 2"),
        ("encode.preset=warp", "cannot be 'warp'"),
        ("sound.loudness.target_lufs=loud", "target_lufs cannot be 'loud'"),
        ("picture.restore.strength", "key=value"),
        ("picture=1", "no setting 'picture'"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_right(setting, hint):
    with pytest.raises(RequestError, match=hint.replace("(", r"\(")) as caught:
        with_settings(Preset(), [setting])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("version = 2", "version must be 1"),
        ("title = 'no version'", "version must be 1"),
        ("version = 1\n[picture.restor]\nstrength = 1", "did you mean 'picture.restore'"),
        ("version = 1\npicture = 3", "picture cannot be 3"),
        ("version =", "not TOML"),
    ],
)
def test_a_wrong_preset_file_is_refused_in_one_line(text, hint):
    with pytest.raises(RequestError, match=hint) as caught:
        parse(text, "mine.toml")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("mine.toml: ")


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(RequestError, match="did you mean 'concert-dvd-pal'"):
        load("concert-dvd-pall")


def test_a_preset_file_is_read_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("version = 1\n[encode]\ncrf = 20.5\n", encoding="utf-8")
    assert load(str(path)).encode.crf == 20.5


def test_svtav1_has_speeds_of_its_own():
    preset = with_settings(Preset(), ["encode.codec=svtav1", "encode.preset=4"])
    assert preset.encode.preset == "4"
    with pytest.raises(RequestError):
        with_settings(Preset(), ["encode.codec=svtav1", "encode.preset=slow"])


@pytest.mark.parametrize(
    ("size", "codec", "structure", "expected"),
    [
        ((720, 576), "mpeg2video", "interlaced", "concert-dvd-pal"),
        ((704, 576), "h264", "progressive", "concert-dvd-pal"),
        ((720, 480), "mpeg2video", "telecine", "concert-dvd-ntsc"),
        ((720, 576), "dvvideo", "interlaced", "concert-tape"),
        ((1920, 1080), "h264", "interlaced", "concert-broadcast-1080i"),
        ((1920, 1080), "h264", "progressive", "gentle"),
        ((640, 360), "h264", "progressive", "gentle"),
    ],
)
def test_auto_chooses_by_what_the_scan_found(size, codec, structure, expected):
    assert choose(scan_of(*size, codec, structure))[0] == expected


def test_auto_chooses_sound_alone_without_a_picture():
    assert choose(scan_of(720, 576, "h264", "progressive").model_copy(update={"picture": None}))[
        0
    ] == ("audio-only")


def scan_of(width, height, codec, structure):
    fact = ColourFact(value="bt709", tagged=True, why="")
    picture = PictureFacts(
        stream=0,
        codec=codec,
        width=width,
        height=height,
        bits=8,
        pixel_format="yuv420p",
        sample_aspect=Fraction(1),
        sample_aspect_tagged=True,
        display_aspect=Fraction(width, height),
        rate=Fraction(25),
        rate_constant=True,
        rate_why="",
        frames=100,
        start_s=0.0,
        duration_s=4.0,
        matrix=fact,
        transfer=fact,
        primaries=fact,
        range=fact,
        chroma_location=fact,
        flagged="unknown",
        structure=structure,
        field_order=None,
        structure_why="",
        structure_confidence=1.0,
    )
    return Scan(
        encore="0",
        source="x",
        media="x",
        size_bytes=1,
        container="matroska",
        duration_s=4.0,
        streams=[],
        picture=picture,
    )
