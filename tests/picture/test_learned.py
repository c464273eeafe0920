"""The learned network: what it is handed, what it gives, and that it beats what it replaces."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
import vapoursynth as vs
from safetensors.torch import save_file
from test_engine_chain import planes, textured, whole, worst

import vsencore
from vsencore.engine.scaling import resize
from vsencore.nets import Restorer, Shape, bundled
from vsencore.nets.bundled import load

core = vs.core


def woven(tff=True, format=vs.YUV420P8, length=6, width=96, height=64):
    clip = textured(length=length, width=width, height=height, format=format)
    return clip.std.SetFieldBased(2 if tff else 1)


@pytest.mark.parametrize("tff", [True, False])
@pytest.mark.parametrize(("rate", "count"), [("double", 12), ("single", 6)])
def test_fields_become_frames_of_the_asked_for_size(tff, rate, count):
    made = vsencore.remaster(woven(tff), 120, rate=rate)
    assert (made.width, made.height, made.num_frames) == (180, 120, count)
    assert made.format.id == vs.YUV420P10
    props = made.get_frame(1).props
    assert (props["_FieldBased"], props["_SARNum"], props["_SARDen"]) == (0, 1, 1)
    assert made.fps == woven().fps * (2 if rate == "double" else 1)
    assert props["_DurationNum"] / props["_DurationDen"] == pytest.approx(float(1 / made.fps))


def test_the_sample_aspect_makes_the_width():
    wide = woven().std.SetFrameProps(_SARNum=64, _SARDen=45)
    made = vsencore.remaster(wide, 64)
    assert made.width == 136  # 96 * 64 / 45, even


@pytest.mark.parametrize("format", [vs.GRAY8, vs.YUV422P10, vs.YUV444P16])
def test_every_integer_format_goes_in(format):
    made = vsencore.remaster(woven(format=format, length=2), 64)
    gray = core.get_video_format(format).color_family == vs.GRAY
    assert made.get_frame(0).format.id == (vs.GRAY10 if gray else vs.YUV420P10)


def test_any_order_of_requests_gives_the_same_bits():
    straight = whole(vsencore.remaster(woven(), 96))
    made = vsencore.remaster(woven(), 96)
    for n in (11, 2, 7, 0, 7, 11):
        assert worst([planes(made, n)], [straight[n]]) == 0


def test_upside_down_and_bottom_first_is_the_same_show_upside_down():
    clip = woven(tff=True, format=vs.YUV444P10, length=3)
    turned = clip.std.FlipVertical().std.SetFieldBased(1)
    # In bytes a number that is nearly half way may be rounded the other way.
    one = whole(vsencore.remaster(clip, 64, format=vs.YUV444P10, precision="fp32"))
    other = whole(vsencore.remaster(turned, 64, format=vs.YUV444P10, precision="fp32"))
    # Not the dither, which does not turn with the picture.
    assert worst(one, [[plane[::-1] for plane in frame] for frame in other]) <= 1


def test_a_noisy_moving_picture_comes_nearer_the_truth_than_bwdif_and_lanczos_bring_it():
    dice = np.random.default_rng(3)
    clean = textured(length=24, width=192, height=160, format=vs.YUV420P8)
    truth = whole(clean.resize.Spline36(format=vs.YUV420P10))
    noisy = []
    for n in range(24):
        frame = core.std.BlankClip(clean, length=1).get_frame(0).copy()
        for plane, codes in enumerate(planes(clean, n)):
            dirt = codes + dice.normal(0, 5, codes.shape)
            np.asarray(frame[plane])[:] = np.clip(np.rint(dirt), 0, 255)
        noisy.append(frame)
    recorded = clean.std.ModifyFrame(clean, lambda n, f: noisy[n])
    fields = recorded.std.SeparateFields(tff=True)
    fields = fields.std.SelectEvery(4, [0, 3]).std.DoubleWeave(tff=True)[::2]
    fields = fields.std.SetFieldBased(2)
    bobbed = vsencore.deinterlace(fields, "bwdif")
    peer = whole(vsencore.upscale(bobbed, 160, "lanczos", width=192))
    ours = whole(vsencore.remaster(fields, 160, width=192))

    def error(made):
        return np.mean([np.mean((made[n][0] - truth[n][0]) ** 2.0) for n in range(4, 20)])

    assert error(ours) < 0.9 * error(peer)


def test_all_the_grain_given_back_is_the_source_on_its_own_lines():
    clip = woven(format=vs.YUV444P16, length=4, height=96)
    source = planes(clip, 1)[0][::2]

    def off(grain):
        made = vsencore.remaster(clip, 96, grain=grain, format=vs.YUV444P16)
        return np.abs(planes(made, 2)[0][::2][8:-8] - source[8:-8]).mean()

    assert off(1.0) < 0.4 * off(0.0)


def test_a_progressive_clip_has_its_frames_restored():
    clip = textured(length=6, width=96, height=64, format=vs.YUV420P8).std.SetFieldBased(0)
    made = vsencore.remaster(clip, 96)
    assert (made.width, made.height, made.num_frames) == (144, 96, 6)
    assert made.fps == clip.fps
    # Hardly damaged as it is, it stays what it was.
    wanted = planes(clip.resize.Spline36(144, 96, format=vs.YUV420P10), 3)[0]
    off = np.abs(planes(made, 3)[0].astype(float) - wanted)[8:-8, 8:-8].mean()
    assert off < 0.5 * np.abs(planes(made, 3)[0].astype(float) - planes(made, 0)[0]).mean()


@pytest.mark.parametrize("tff", [True, False])
def test_at_strength_0_each_field_is_only_enlarged(tff):
    clip = woven(tff, format=vs.YUV444P16, length=3)
    made = vsencore.remaster(clip, 128, strength=0, format=vs.YUV444P16, matrix="keep")
    fields = clip.std.SeparateFields(tff=tff).std.RemoveFrameProps("_Field")
    for n in range(6):
        shift = 0.25 if (n % 2 == 0) == tff else -0.25
        wanted = fields.std.SetFieldBased(0).resize.Bicubic(
            192, 128, src_top=shift, filter_param_a=0, filter_param_b=0.5
        )
        assert np.abs(planes(made, n)[0].astype(int) - planes(wanted, n)[0].astype(int)).max() <= 2


def test_strength_lies_between_the_kernel_and_the_network():
    clip = woven(format=vs.YUV444P16, length=2)
    none, half, full = (
        planes(vsencore.remaster(clip, 64, strength=s, format=vs.YUV444P16, precision="fp32"), 1)[
            0
        ].astype(float)
        for s in (0, 0.5, 1)
    )
    assert np.abs(half - (none + full) / 2).max() <= 2


@pytest.mark.parametrize("rate", ["double", "single"])
def test_deinterlacing_by_the_network_keeps_the_size_and_tells_the_truth(rate):
    clip = woven(length=4, height=66)  # no multiple of 4 lines
    clip = clip.std.SetFrameProps(_SARNum=16, _SARDen=15, _ChromaLocation=0)
    made = vsencore.deinterlace(clip, "fieldnet", rate)
    assert (made.width, made.height, made.format.id) == (96, 66, vs.YUV420P16)
    assert made.num_frames == (8 if rate == "double" else 4)
    props = made.get_frame(1).props
    assert (props["_FieldBased"], props["_SARNum"], props["_SARDen"]) == (0, 16, 15)
    assert props["_DurationNum"] / props["_DurationDen"] == pytest.approx(float(1 / made.fps))


def test_frames_are_restored_at_their_own_size():
    clip = textured(length=5, width=96, height=64, format=vs.YUV422P8).std.SetFieldBased(0)
    clip = clip.std.SetFrameProps(_Range=0, _ChromaLocation=0)
    half, full = (vsencore.restore(clip, s, "framenet") for s in (0.5, 1))
    assert (full.width, full.height, full.format.id) == (96, 64, vs.YUV422P16)
    assert vsencore.restore(clip, 0, "framenet") is clip
    source = planes(clip.resize.Point(format=vs.YUV422P16), 2)
    for plane, whole_way, half_way in zip(source, planes(full, 2), planes(half, 2), strict=True):
        middle = (plane.astype(float) + whole_way) / 2
        assert np.abs(half_way - middle).max() <= 1


def test_frames_are_enlarged_by_the_network():
    clip = textured(length=5, width=96, height=64, format=vs.YUV420P8).std.SetFieldBased(0)
    made = vsencore.upscale(clip, 128, "framenet")
    assert worst(whole(made), whole(vsencore.remaster(clip, 128))) == 0


@pytest.mark.parametrize("kind", ["fields", "frames"])
def test_without_weights_the_centre_is_enlarged_by_the_kernel_alone(kind):
    network = Restorer(Shape(kind, 8, 1, 1, 1))
    window = torch.rand(2, 3, 4, 8, 12)
    luma, chroma = network(window)
    down = network.shape.down
    shift = (0.25 if kind == "fields" else 0.0, 0.0)
    wanted = resize(window[:, 1, :1], 8 * 2 * down, 24, "bicubic", shift)
    assert (luma - wanted).abs().max() < 1e-6
    assert chroma.shape == (2, 2, 8 * down, 12)


def test_what_ships_is_whole_small_and_has_its_card():
    assert bundled.bundled()
    for one in bundled.bundled().values():
        content = one.path.read_bytes()
        assert len(content) == one.size_bytes < 10_000_000
        assert hashlib.sha256(content).hexdigest() == one.sha256
        assert one.path.with_suffix(".md").is_file()
        assert load(one.name, one.kind).shape.kind == one.kind


def test_a_file_of_weights_is_as_good_as_its_name(tmp_path):
    copy = tmp_path / "mine.safetensors"
    shutil.copyfile(bundled.bundled()["base", "fields"].path, copy)
    one = vsencore.remaster(woven(length=2), 64)
    assert worst(whole(one), whole(vsencore.remaster(woven(length=2), 64, model=str(copy)))) == 0


def lying(tmp_path, channels="1000000"):
    path = tmp_path / "lying.safetensors"
    network = load("base", "fields")
    facts = network.shape.facts() | {"channels": channels}
    save_file(network.state_dict(), path, metadata=facts)
    return str(path)


def test_a_single_rate_tells_both_ends_of_a_shot():
    shots = [textured(length=5, width=96, height=64, seed=seed) for seed in (1, 2)]
    clip = (shots[0] + shots[1]).std.SetFieldBased(2)
    props = [dict(f.props) for f in vsencore.remaster(clip, 64, rate="single").frames()]
    assert [n for n, p in enumerate(props) if p["_SceneChangePrev"]] == [5]
    assert [n for n, p in enumerate(props) if p["_SceneChangeNext"]] == [4]


def test_what_is_loaded_late_is_listed_all_the_same():
    assert {"chain", "model", "remaster", "scenes"} <= set(dir(vsencore))


def whole_frames():
    return textured(length=2, width=96, height=64, format=vs.YUV420P8).std.SetFieldBased(0)


def fields_only(tmp_path):
    copy = tmp_path / "mine.safetensors"
    shutil.copyfile(bundled.bundled()["base", "fields"].path, copy)
    return str(copy)


def damaged(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(bundled.bundled()["base", "fields"].path.read_bytes()[:5000])
    return str(path)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda path: vsencore.remaster(3), "remaster: clip must be a VapourSynth"),
        (lambda path: vsencore.remaster(textured()), "does not tell its field order"),
        (lambda path: vsencore.remaster(woven(), height=99), "height must be an even number"),
        (lambda path: vsencore.remaster(woven(), grain=2), "grain must be from 0 to 1"),
        (lambda path: vsencore.remaster(woven(), strength=2), "strength must be from 0 to 1"),
        (
            lambda path: vsencore.deinterlace(woven(), "fieldnet", model="bass"),
            "deinterlace: there",
        ),
        (
            lambda path: vsencore.restore(whole_frames(), 1, "framenet", model="bass"),
            "restore: there",
        ),
        (
            lambda path: vsencore.upscale(whole_frames(), 64, "framenet", device="x"),
            "upscale: device",
        ),
        (lambda path: vsencore.remaster(woven(), device="x"), "remaster: device must"),
        (
            lambda path: vsencore.remaster(whole_frames(), model=fields_only(path)),
            "restores fields",
        ),
        (lambda path: vsencore.remaster(woven(), rate="half"), "rate must be"),
        (lambda path: vsencore.remaster(woven(), crop_edges=3), "crop_edges must be an even"),
        (lambda path: vsencore.remaster(woven(height=66)), "multiple of 4 lines"),
        (
            lambda path: vsencore.remaster(woven().std.SeparateFields(), tff=True),
            "separated fields",
        ),
        (lambda path: vsencore.remaster(woven(), height=16, crop_edges=46), "columns wide"),
        (lambda path: vsencore.remaster(woven(), model=lying(path)), "no weights of a network"),
        (lambda path: vsencore.remaster(woven(), model=lying(path, "32")), "weights do not fit"),
        (lambda path: vsencore.remaster(woven(), model="bass"), 'no model named "bass"'),
        (lambda path: vsencore.remaster(woven(), model="x.safetensors"), "no such file"),
        (lambda path: vsencore.remaster(woven(), model=damaged(path)), "damaged or cut short"),
        (lambda path: vsencore.remaster(woven(), device="gpu"), "device must be"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(make, hint, tmp_path):
    with pytest.raises(vs.Error, match=hint) as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value)
