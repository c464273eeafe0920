"""Facts written under FFmpeg's names, checked against VapourSynth's own constants."""

import pytest
import vapoursynth as vs

import vsencore


def clip() -> vs.VideoNode:
    return vs.core.std.BlankClip(format=vs.YUV420P8, width=16, height=16, length=1)


def test_names_become_the_codes_of_h273() -> None:
    props = (
        vsencore.tag(
            clip(),
            matrix="bt470bg",
            transfer="smpte170m",
            primaries="bt470bg",
            range="tv",
            chroma_location="topleft",
            field_order="bottom",
            sample_aspect=(64, 45),
        )
        .get_frame(0)
        .props
    )
    assert props["_Matrix"] == vs.MATRIX_BT470_BG
    assert props["_Transfer"] == vs.TRANSFER_BT601
    assert props["_Primaries"] == vs.PRIMARIES_BT470_BG
    assert props["_Range"] == vs.RANGE_LIMITED
    assert props["_ChromaLocation"] == vs.CHROMA_TOP_LEFT
    assert props["_FieldBased"] == vs.FIELD_BOTTOM
    assert (props["_SARNum"], props["_SARDen"]) == (64, 45)


def test_what_is_not_given_is_left_as_it_was() -> None:
    tagged = vsencore.tag(clip().std.SetFrameProps(_Matrix=6, _Range=1), primaries="bt709")
    props = tagged.get_frame(0).props
    assert (props["_Matrix"], props["_Range"], props["_Primaries"]) == (6, 1, 1)
    same = clip()
    assert vsencore.tag(same) is same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matrix": "smpte170"}, r'^tag: matrix must be .*did you mean "smpte170m"\?'),
        ({"transfer": "bt601"}, r'^tag: transfer must be "bt709", .*, not "bt601"'),
        ({"primaries": 5}, r"^tag: primaries must be .*, not 5$"),
        ({"range": "mpeg"}, r'^tag: range must be "tv", "limited", "pc" or "full", not "mpeg"'),
        ({"chroma_location": "centre"}, r'^tag: chroma_location .*did you mean "center"\?'),
        ({"field_order": "tff"}, r'^tag: field_order must be "progressive", "bottom" or "top"'),
        ({"sample_aspect": (0, 1)}, r"^tag: sample_aspect must be two whole numbers above 0"),
        ({"sample_aspect": 1.42}, r"^tag: sample_aspect must be .*, not 1\.42$"),
        ({"clip": None}, r"^tag: clip must be a VapourSynth video clip, not NoneType$"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(vs.Error, match=message):
        vsencore.tag(**({"clip": clip()} | arguments))
