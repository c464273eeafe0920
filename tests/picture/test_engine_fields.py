"""Fields in a chain: a stage sees top fields, chroma where a field has it; and RGB."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import vapoursynth as vs
from test_engine_chain import Pick, planes, textured, whole, worst

from vsencore.engine import bridge
from vsencore.engine.bridge import chain
from vsencore.engine.scaling import resize
from vsencore.engine.stage import Needs

core = vs.core


@dataclass
class Bob:
    """Each field drawn out to a frame's lines, as a top field's lines lie."""

    reach: int = 0
    scale: int = 1
    needs: Needs = field(default_factory=lambda: Needs(colour="yuv", fields=True))
    seen: list[torch.Tensor] = field(default_factory=list)

    def to(self, device, dtype):
        return self

    def run(self, window):
        self.seen.append(window.clone())
        centre = window[:, self.reach, :3]
        height, width = centre.shape[-2:]
        return resize(centre, 2 * height * self.scale, width * self.scale, shift=(0.25, 0.0))


def woven(tff, format=vs.YUV420P8, length=6):
    return textured(length=length, width=80, height=64, format=format).std.SetFieldBased(
        2 if tff else 1
    )


@pytest.mark.parametrize("tff", [True, False])
def test_a_still_picture_s_fields_fall_on_their_own_lines(tff):
    still = textured(length=1, width=80, height=64, format=vs.YUV444P8).resize.Spline36(
        80, 12, format=vs.YUV444P16
    )
    # Twice as many lines, none finer than a field can hold: both fields tell the same picture.
    smooth = (still.resize.Spline36(80, 64, format=vs.YUV444P16) * 4).std.SetFieldBased(
        2 if tff else 1
    )
    fields = smooth.std.SeparateFields(tff=tff)
    result = chain(fields, [Bob()])
    assert (result.width, result.height, result.num_frames) == (80, 64, 8)
    wanted = planes(smooth, 0)[0][8:-8]
    for n in range(8):
        off = np.abs(planes(result, n)[0][8:-8] - wanted).mean() / 256
        assert off < 0.5, (n, off)


@pytest.mark.parametrize("tff", [True, False])
@pytest.mark.parametrize("format", [vs.YUV420P8, vs.YUV422P10, vs.GRAY16])
def test_fields_come_out_as_frames_with_their_facts(tff, format):
    result = chain(woven(tff, format).std.SeparateFields(tff=tff), [Bob(scale=2)], height=96)
    assert (result.width, result.height, result.num_frames) == (120, 96, 12)
    assert result.format.id == format
    props = result.get_frame(3).props
    assert props["_FieldBased"] == 0
    assert "_Field" not in props


@pytest.mark.parametrize("batch", [1, 4])
def test_a_stage_only_ever_sees_top_fields(batch):
    clip = core.std.BlankClip(width=64, height=64, format=vs.YUV444P8, length=4)
    # Brighter downwards: turned upside down, a field is brighter at its top.
    clip = clip.akarin.Expr(["Y 2 * 40 +", "", ""]).std.SetFieldBased(2)
    clip = clip.std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1, _Range=0)
    stage = Bob(reach=1)
    fields = clip.std.SeparateFields(tff=True)
    for n in range(8):
        chain(fields, [stage], batch=batch).get_frame(n).close()
    for window in torch.cat(stage.seen):
        top, bottom = window[1, 0, 0].mean(), window[1, 0, -1].mean()
        turned = bool(top > bottom)
        first = window[1, 0, 0, 0] if not turned else window[1, 0, -1, 0]
        # In its own right way up, a top field begins at line 0 and a bottom one at line 1.
        assert first == pytest.approx((40 + (2 if turned else 0) - 16) / 219, abs=1e-3)


@pytest.mark.parametrize("tff", [True, False])
def test_chroma_of_fields_agrees_with_zimg(tff):
    clip = woven(tff, vs.YUV420P16)
    # zimg's own interlaced 4:2:0 to 4:4:4, then its fields.
    wanted = clip.resize.Spline36(format=vs.YUV444P16).std.SeparateFields(tff=tff)
    stage = Bob()
    for n in range(4):
        stage.seen.clear()
        chain(clip.std.SeparateFields(tff=tff), [stage], batch=1).get_frame(n).close()
        got = stage.seen[0][0, 0]
        if (n % 2 == 0) != tff:
            got = got.flip(-2)
        expected = planes(wanted, n)
        for plane in (1, 2):
            codes = got[plane].numpy() * 224 * 256 + 128 * 256
            assert np.abs(codes - expected[plane]).max() < 64  # a code of 10 bit


def test_fields_are_the_same_in_any_order():
    fields = woven(True).std.SeparateFields(tff=True)
    stages = [Bob(reach=1, needs=Needs(colour="yuv", fields=True, light=True)), Pick(1, 2)]
    straight = whole(chain(fields, stages, batch=3))
    clip = chain(fields, stages, batch=3)
    for n in (11, 3, 0, 7, 3, 8):
        assert worst([planes(clip, n)], [straight[n]]) == 0


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: chain(woven(True), [Bob()]), "takes fields; separate them"),
        (lambda: chain(textured(), [Bob()]), "takes fields; separate them"),
        (lambda: chain(woven(True).std.SeparateFields(), [Pick(0, 0)]), "must be progressive"),
        (lambda: chain(woven(True).std.SeparateFields(), [Bob(), Bob()]), "must be the first"),
        (
            lambda: chain(woven(True, vs.YUV410P8).std.SeparateFields(), [Bob()]),
            "every line or every second",
        ),
    ],
)
def test_fields_where_frames_are_due_are_refused(make, hint):
    with pytest.raises(vs.Error, match=hint):
        make()


@pytest.mark.parametrize("format", [vs.RGB24, vs.RGB30, vs.RGB48])
def test_rgb_goes_through_a_chain_and_comes_out_the_same(format):
    clip = textured(format=format, length=3).std.RemoveFrameProps("_Range")
    clip = clip.std.SetFrameProps(_Matrix=0, _Primaries=1, _Transfer=1)
    kept = chain(clip, [Pick(0, 0)])
    assert kept.format.id == format
    assert worst(whole(clip), whole(kept)) <= (1 if format == vs.RGB48 else 0)
    assert kept.get_frame(0).props["_Range"] == 1


def test_rgb_becomes_the_yuv_that_zimg_makes_of_it():
    clip = textured(format=vs.RGB48, length=2).std.RemoveFrameProps("_Range")
    clip = clip.std.SetFrameProps(_Matrix=0, _Primaries=1, _Transfer=1)
    ours = chain(clip, [Pick(0, 0)], format=vs.YUV420P10)
    theirs = clip.resize.Spline36(format=vs.YUV420P10, matrix=1, dither_type="none")
    assert worst(whole(ours), whole(theirs)) <= 1
    assert ours.get_frame(0).props["_Matrix"] == 1


def test_strips_of_a_large_picture_leave_no_seam(monkeypatch):
    clip = textured(width=96, height=640, length=1, format=vs.YUV420P10)
    strips = whole(chain(clip, [Pick(0, 0)]))
    monkeypatch.setattr(bridge, "_STRIP_LINES", 4096)
    assert worst(strips, whole(chain(clip, [Pick(0, 0)]))) == 0


@pytest.mark.parametrize("batch", [1, 4])
def test_beyond_a_cut_or_an_end_stands_a_field_of_the_same_parity(batch):
    shots = [textured(length=4, width=80, height=64, seed=seed) for seed in (1, 2)]
    fields = (shots[0] + shots[1]).std.SetFieldBased(2).std.SeparateFields(tff=True)
    # Each field's luma is its own, so a window tells which fields it holds.
    source = whole(fields)
    for n, first, last in ((0, 0, 7), (7, 0, 7), (8, 8, 15), (15, 8, 15), (3, 0, 7)):
        stage = Bob(reach=2)
        made = chain(fields, [stage], batch=batch)
        made.get_frame(n).close()
        window = torch.cat(stage.seen)[n % batch, :, 0]
        for slot, at in enumerate(range(n - 2, n + 3)):
            if at < first:
                at = first if (at - first) % 2 == 0 else first + 1
            if at > last:
                at = last if (at - last) % 2 == 0 else last - 1
            wanted = (source[at][0] - 16) / 219
            got = window[slot].numpy()
            got = got[::-1] if n % 2 else got
            assert np.abs(got - wanted).max() < 0.01, (n, slot, at)


def test_a_shape_that_changes_is_told_by_the_sample_aspect():
    clip = textured(length=1).std.SetFrameProps(_SARNum=16, _SARDen=15)
    props = chain(clip, [], height=48, width=96).get_frame(0).props
    assert (props["_SARNum"], props["_SARDen"]) == (4, 5)  # 16/15 * 72/96


def test_grey_keeps_the_colour_that_it_was_tagged_with():
    clip = textured(length=1, format=vs.GRAY8)
    props = chain(clip, [Pick(0, 0)], height=720).get_frame(0).props
    assert (props["_Matrix"], props["_Primaries"]) == (6, 6)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: chain(textured(width=640, height=16), [], height=16000), "is the most"),
        (lambda: chain(textured(width=63, height=47, format=vs.RGB24), [], format=vs.YUV420P8),
         "cannot have the chroma"),
    ],
)  # fmt: skip
def test_a_size_that_no_frame_has_is_refused_before_it_is_made(make, hint):
    with pytest.raises(vs.Error, match=hint):
        make()
