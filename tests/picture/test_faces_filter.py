"""The filter: what it changes, what it leaves to the bit, and whom it asks."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
import vapoursynth as vs
from drawn_clips import clip_of, places, samples, texture
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact

from vsencore.engine.device import place
from vsencore.face import filter as faces_filter
from vsencore.face.detail import AT_TRUTH
from vsencore.face.filter import FALLBACK, MOST, REACH, _Kept, _Node, faces
from vsencore.face.model import _Gfpgan
from vsencore.face.tracks import Track, Tracks

WIDTH, HEIGHT, LENGTH = 192, 144, 12
# A face of 48 x 56 pixels, and where its points lie in it.
WIDE, TALL = 48, 56
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
STEP = 1.5

core = vs.core


@pytest.fixture(autouse=True)
def no_models(tmp_path, monkeypatch):
    """Without `sface`."""
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path))


def corner(n: float) -> tuple[float, float]:
    """Where the face's box begins in frame n."""
    return 60.0 + STEP * n, 50.0


def clean(n: float, light: float = 1.0, seed: int = 1) -> np.ndarray:
    """A texture that moves as the face does, codes of 8 bit."""
    x, y = places(WIDTH, HEIGHT)
    return 16 + light * (90 + 22 * texture(x - STEP * n, y, seed))


def clip(
    *,
    noise: float = 0.0,
    lights: tuple[float, ...] = (1.0,),
    seeds: tuple[int, ...] = (1,) * LENGTH,
) -> vs.VideoNode:
    dice = np.random.default_rng(5)
    small = (HEIGHT // 2, WIDTH // 2)
    frames = []
    for n, seed in enumerate(seeds):
        luma = clean(n, lights[n % len(lights)], seed)
        chroma = [128 + 20 * dice.standard_normal(small) for _ in range(2)]
        frames.append([luma + noise * dice.standard_normal(luma.shape), *chroma])
    return clip_of(frames, vs.YUV420P8).std.SetFrameProps(_FieldBased=0, _Matrix=1, _Range=0)


def track(number: int = 0, first: int = 0, length: int = LENGTH, per_frame: int = 1) -> Track:
    """The face's track; `per_frame` frames of the clip to one of the track."""
    whole = np.array([WIDTH, HEIGHT])
    starts = np.array([corner(per_frame * n) for n in range(first, first + length)])
    boxes = np.concatenate([starts / whole, np.full(starts.shape, [WIDE, TALL]) / whole], 1)
    points = (starts[:, None] + POINTS * [WIDE, TALL]) / whole
    return Track(
        number,
        first,
        boxes.astype(np.float32),
        points.astype(np.float32),
        np.ones(length, np.float32),
    )


def tracks(*those: Track, rate: int = 25, frames: int = LENGTH) -> Tracks:
    return Tracks(Fraction(rate), frames, WIDTH / HEIGHT, those or (track(),))


def inside(n: int) -> tuple[slice, slice]:
    """The middle of the face."""
    left, top = (round(value) for value in corner(n))
    return slice(top + 14, top + TALL - 14), slice(left + 12, left + WIDE - 12)


def changed(made: vs.VideoNode, source: vs.VideoNode, n: int) -> np.ndarray:
    return samples(made, n) - samples(source, n)


def same(one: vs.VideoNode, other: vs.VideoNode, n: int) -> bool:
    first, second = one.get_frame(n), other.get_frame(n)
    return all(
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(first, second, strict=True)
    )


def test_strength_0_gives_the_same_samples():
    source = clip(noise=4)
    made = faces(source, 0.0, tracks=tracks(), device="cpu")
    assert all(same(made, source, n) for n in range(LENGTH))


def test_a_frame_without_a_face_is_the_same_to_the_bit():
    source = clip(noise=4)
    made = faces(source, 1.0, tracks=tracks(track(length=5)), device="cpu")
    assert all(same(made, source, n) for n in range(5, LENGTH))
    assert not same(made, source, 2)


def test_what_lies_beside_the_face_and_all_chroma_stay():
    source = clip(noise=4)
    made = faces(source, 1.0, tracks=tracks(), device="cpu")
    off = changed(made, source, 6)
    left, top = (round(value) for value in corner(6))
    off[max(0, top - 20) : top + TALL + 20, max(0, left - 20) : left + WIDE + 20] = 0
    assert not off.any()
    for plane in (1, 2):
        assert np.array_equal(samples(made, 6, plane), samples(source, 6, plane))


def test_a_noisy_face_comes_nearer_to_the_clean_one():
    source = clip(noise=4)
    made = faces(source, AT_TRUTH, tracks=tracks(), device="cpu")
    before, after = (
        np.mean((samples(one, 6)[inside(6)] - clean(6)[inside(6)]) ** 2) for one in (source, made)
    )
    assert after < before / 2


def test_a_flash_stays_as_bright_as_it_was():
    source = clip(noise=2, lights=(1.0, 1.0, 1.5, 1.0))
    made = faces(source, 1.0, tracks=tracks(), device="cpu")
    for n in (5, 6, 7):
        assert abs(changed(made, source, n)[inside(n)].mean()) < 0.5


def test_a_frame_is_the_same_in_whatever_order_it_is_asked_for():
    source = clip(noise=4)
    one, other = (faces(source, 0.7, tracks=tracks(), device="cpu") for _ in range(2))
    forwards = [samples(one, n) for n in range(LENGTH)]
    for n in (7, 2, 11, 0, 7):
        assert np.array_equal(samples(other, n), forwards[n])


def test_nothing_is_taken_from_beyond_a_cut_that_ends_the_track():
    shots = [
        faces(
            clip(noise=3, seeds=(1,) * 6 + (other,) * 6),
            1.0,
            tracks=tracks(track(0, 0, 6), track(1, 6, 6)),
            device="cpu",
        )
        for other in (2, 3)
    ]
    assert all(np.array_equal(samples(shots[0], n), samples(shots[1], n)) for n in range(6))


def test_nothing_is_taken_from_beyond_a_cut_that_the_clip_tells():
    def shown(other: int) -> vs.VideoNode:
        source = clip(noise=3, seeds=(1,) * 6 + (other,) * 6)
        flagged = source[:6] + source[6].std.SetFrameProps(_SceneChangePrev=1) + source[7:]
        return faces(flagged, 1.0, tracks=tracks(), device="cpu")

    one, other = shown(2), shown(3)
    assert all(np.array_equal(samples(one, n), samples(other, n)) for n in range(6))


def test_tracks_at_half_the_rate_are_mapped_by_time():
    source = core.std.AssumeFPS(clip(noise=4), fpsnum=50)
    half = Tracks(Fraction(25), 6, WIDTH / HEIGHT, (track(length=6, per_frame=2),))
    made, wanted = (
        faces(source, 0.5, tracks=told, device="cpu") for told in (half, tracks(rate=50))
    )
    # The second field of the last frame is the clip's last.
    for n in (5, 6):
        assert np.abs(samples(made, n) - samples(wanted, n)).max() <= 1


def test_tracks_are_read_from_their_file(tmp_path):
    source = clip(noise=4)
    tracks().save(tmp_path / "faces.json")
    read, told = (
        faces(source, tracks=one, device="cpu") for one in (tmp_path / "faces.json", tracks())
    )
    assert np.abs(samples(read, 6) - samples(told, 6)).max() <= 1


def test_a_crowd_is_bounded_and_the_largest_are_worked_on(monkeypatch):
    asked = set()
    real = _Node._tell

    def told(self, n, key, frames):
        asked.add(key)
        return real(self, n, key, frames)

    monkeypatch.setattr(_Node, "_tell", told)
    crowd = [track(n) for n in range(MOST + 3)]
    for n, one in enumerate(crowd):
        one.boxes[:, 2:] *= 1 - 0.05 * n
    faces(clip(), tracks=tracks(*crowd), device="cpu").get_frame(6)
    assert 0 < len(asked) <= MOST


def test_of_a_crowd_of_equals_nobody_is_chosen():
    source = clip(noise=4)
    crowd = [track(n) for n in range(MOST + 1)]
    assert same(faces(source, tracks=tracks(*crowd), device="cpu"), source, 6)


def test_a_face_that_comes_into_a_crowd_does_not_switch_the_others_off_at_once():
    crowd = [track(n) for n in range(MOST)]
    late = track(MOST, first=8, length=LENGTH - 8)
    node = _Node(clip(), 0.5, tracks(*crowd, late), None, place("cpu", []))
    shares = [node._of_crowd(n, 0) for n in range(LENGTH)]
    assert shares[0] == 1
    assert shares[-1] < 0.5
    assert all(0 <= a - b < 0.16 for a, b in pairwise(shares))


def test_what_is_forgotten_is_made_again_the_same():
    source = clip(noise=4)
    kept, short = (faces(source, tracks=tracks(), device="cpu") for _ in range(2))
    wanted = [samples(kept, n) for n in range(LENGTH)]
    for n in (6, 11, 0, 5, 11):  # beyond what is near: with no frames asked for ahead all is new
        assert np.array_equal(samples(short, n), wanted[n])


def test_only_what_is_near_is_kept():
    kept = _Kept()
    for n in range(9):
        assert kept.get(1, n, lambda n=n: n) == n
    kept.keep(range(3, 6))
    assert [kept.get(1, n, lambda: None) for n in range(9)] == [None] * 3 + [3, 4, 5] + [None] * 3


def test_a_large_face_is_merged_from_fewer_frames(monkeypatch):
    asked = []
    real = faces_filter.aligned
    monkeypatch.setattr(
        faces_filter,
        "aligned",
        lambda own, cuts, maps: (asked.append(len(cuts)), real(own, cuts, maps))[1],
    )
    for largest in (256**2, 16):
        monkeypatch.setattr(faces_filter, "_LARGE_PX", largest)
        faces(clip(), tracks=tracks(), device="cpu").get_frame(6)
        assert max(asked) == (2 * REACH if largest > 16 else 4)
        asked.clear()


@pytest.mark.parametrize("format", [vs.YUV444P10, vs.YUV420P16, vs.GRAY8])
def test_other_formats_are_worked_in_their_own_codes(format):
    source = clip(noise=4)
    other = core.resize.Point(source, format=format, matrix_s=None if format == vs.GRAY8 else "709")
    made = faces(other, 1.0, tracks=tracks(), device="cpu")
    depth = 2.0 ** (other.format.bits_per_sample - 8)
    wanted = changed(faces(source, 1.0, tracks=tracks(), device="cpu"), source, 6)
    assert np.abs(changed(made, other, 6) / depth - wanted).max() <= 1.01


def test_more_bits_can_be_asked_for():
    source = clip(noise=4)
    made = faces(source, tracks=tracks(), format=vs.YUV420P10, device="cpu")
    assert made.format.id == vs.YUV420P10
    outside = samples(made, 6)[:20] / 4
    assert np.array_equal(outside, samples(source, 6)[:20])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strength": 2.0}, "strength must be from 0 to 1"),
        ({"identity": "lax"}, 'identity must be "strict", "normal" or "off"'),
        ({"method": "no-such-model"}, "there is no model named 'no-such-model'"),
        ({"method": ""}, "method must be"),
        ({"tracks": "no/such/file.json"}, "cannot be read"),
        ({"device": "tpu"}, "device must be"),
        ({"format": vs.YUV444P8}, "format must be"),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(given, told):
    with pytest.raises(vs.Error, match="faces: ") as error:
        faces(clip(), **({"tracks": tracks()} | given))
    assert told in str(error.value)


def little(path, *, weight: float) -> str:
    """A network of one scale that adds `weight` times random detail; 0 gives the picture back."""
    torch.manual_seed(3)
    network = Compact(num_feat=8, num_conv=1, upscale=1)
    state = network.state_dict()
    last = max(key for key in state if key.endswith("weight") and state[key].ndim == 4)
    bias = last.replace("weight", "bias")
    state[last] *= weight
    state[bias] *= 0
    save_file({key: one.contiguous() for key, one in state.items()}, path)
    return str(path)


def test_a_model_that_changes_nothing_is_the_same_face(tmp_path):
    source = clip()
    made = faces(
        source, 1.0, tracks=tracks(), method=little(tmp_path / "m.safetensors", weight=0.0)
    )
    assert FALLBACK not in made.get_frame(6).props
    assert np.abs(changed(made, source, 6)[inside(6)]).mean() < 1


def test_a_model_that_makes_another_face_is_not_used_and_the_frame_says_so(tmp_path):
    path = little(tmp_path / "m.safetensors", weight=40.0)
    source = clip(noise=2)
    made = faces(source, 0.5, tracks=tracks(track(7)), method=path, device="cpu")
    assert made.get_frame(6).props[FALLBACK] == 7
    own = faces(source, 0.5, tracks=tracks(track(7)), device="cpu")
    assert np.array_equal(samples(made, 6), samples(own, 6))


def test_without_a_guard_a_model_is_used_within_its_bounds(tmp_path):
    path = little(tmp_path / "m.safetensors", weight=40.0)
    source = clip()
    made = faces(source, 0.5, tracks=tracks(), method=path, identity="off", device="cpu")
    off = changed(made, source, 6)
    assert FALLBACK not in made.get_frame(6).props
    assert off.any()
    # A tenth of full light, at half strength, and what merging changes.
    assert np.abs(off).max() < 0.5 * 0.11 * 219 + 4
    assert abs(off[inside(6)].mean()) < 1.5


def test_what_a_model_adds_is_smoothed_along_the_track(monkeypatch, tmp_path):
    """A model whose every frame has noise of its own: of seven frames, two fifths are left."""
    path = little(tmp_path / "m.safetensors", weight=0.0)
    dice = torch.Generator().manual_seed(9)

    def restored(self, crop, luma_of, source_px):
        return faces_filter.Restored(0.05 * torch.randn(1, 1, 512, 512, generator=dice), same=True)

    monkeypatch.setattr(faces_filter.FaceModel, "restored", restored)

    source = clip()
    made = faces(source, 1.0, tracks=tracks(), method=path, identity="off", device="cpu")
    alone = 0.05 * 219
    assert float(np.std(changed(made, source, 6)[inside(6)])) < 0.45 * alone


def test_detail_is_smoothed_along_the_track_and_made_once_a_frame(monkeypatch):
    """What is raised in every frame has noise of its own: of seven frames, two fifths are left."""
    dice = torch.Generator().manual_seed(9)
    asked = []

    def noise(seen, made, mask, strength):
        asked.append(1)
        return 0.05 * torch.randn(seen.centre.shape, generator=dice)

    monkeypatch.setattr(faces_filter, "raised", noise)
    source = clip()
    made = faces(source, 0.5, tracks=tracks(), device="cpu")
    assert float(np.std(changed(made, source, 6)[inside(6)])) < 0.45 * 0.05 * 219
    made.get_frame(7)
    assert len(asked) <= 2 * REACH + 2


def test_gfpgan_gets_what_it_was_taught_and_draws_no_noise():
    asked = {}

    class Network:
        def model(self, pictures, **told):
            asked.update(told, least=float(pictures.min()))
            return pictures, []

    class Holder(torch.nn.Module):
        model = staticmethod(Network().model)

    made = _Gfpgan(Holder())(torch.full((1, 3, 4, 4), 0.25))
    assert asked == {"return_rgb": False, "randomize_noise": False, "least": -0.5}
    assert made == pytest.approx(0.25)
