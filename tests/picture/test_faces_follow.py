"""Faces followed: heads drawn on a stage, whose place is known, under lamps, hands and flashes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vsencore.face import Detection, Track, Tracks
from vsencore.face.follow import follow

HEIGHT, WIDTH = 216, 384
RATE = Fraction(25)
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.33, 0.78], [0.67, 0.78]], np.float32)
Where = Callable[[int], tuple[float, float, float]]
"""The middle and the height of a head in a frame, in pixels."""
Picture = NDArray[np.uint8]


pytestmark = pytest.mark.usefixtures("one_thread_of_opencv")


def cloth(height: int, width: int, seed: int, fine: float = 2.0) -> NDArray[np.float32]:
    """A texture of many scales, 0..1."""
    noise = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    parts = [cv2.GaussianBlur(noise, (0, 0), fine * scale) for scale in (1, 2, 5)]
    mixed = sum(part / part.std() for part in parts)
    return np.clip(0.5 + 0.13 * mixed, 0, 1).astype(np.float32)


@dataclass
class Stage:
    """A stage, heads on it, and a detector that sees them, with an error of its own."""

    heads: list[Where]
    jitter: float = 0.03
    """Deviation of what is detected, in heights of a head."""
    blind: Callable[[int], bool] = lambda n: False
    score: float = 0.9
    light: Callable[[int], float] = lambda n: 0.7
    hand: Callable[[int], float | None] = lambda n: None
    """Where the middle of a hand is, across; None: there is none."""
    noise: float = 1.0
    looked: list[int] = field(default_factory=list)
    now: int = 0
    name: str = "drawn"

    def __post_init__(self) -> None:
        self._back = cloth(HEIGHT, WIDTH, 1)
        self._faces = [cloth(128, 96, 10 + n, 3.0) for n in range(len(self.heads))]
        self._random = np.random.default_rng(5)

    def picture(self, n: int) -> Picture:
        drawn = 0.6 * self._back
        for head, face in zip(self.heads, self._faces, strict=True):
            x, y, height = head(n)
            scale = height / 128
            turn = np.array([[scale, 0, x - 48 * scale], [0, scale, y - 64 * scale]])
            size = (WIDTH, HEIGHT)
            inside = cv2.warpAffine(np.ones_like(face), turn, size, flags=cv2.INTER_LINEAR)
            placed = cv2.warpAffine(face, turn, size, flags=cv2.INTER_AREA)
            drawn = drawn * (1 - inside) + placed * inside
        if (across := self.hand(n)) is not None:
            drawn[60:170, max(0, int(across) - 25) : int(across) + 25] = cloth(110, 50, 99)[
                :, : drawn[60:170, max(0, int(across) - 25) : int(across) + 25].shape[1]
            ]
        lit = 255 * drawn * self.light(n)
        lit = lit + self.noise * self._random.standard_normal(lit.shape)
        return np.repeat(np.clip(lit, 0, 255).astype(np.uint8)[..., None], 3, 2)

    def truth(self, n: int, head: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The box and the points, as parts of the frame."""
        x, y, height = self.heads[head](n)
        width = 0.75 * height
        box = np.array([x - width / 2, y - height / 2, width, height])
        points = box[:2] + POINTS * box[2:]
        return box / (WIDTH, HEIGHT, WIDTH, HEIGHT), points / (WIDTH, HEIGHT)

    def shown(self, count: int, cuts: tuple[int, ...] = ()) -> Iterator[tuple[Picture, bool]]:
        for n in range(count):
            self.now = n
            yield self.picture(n), n in cuts

    def find(self, picture: Picture) -> list[Detection]:
        n = self.now
        self.looked.append(n)
        if self.blind(n) or picture.mean() > 240:
            return []
        found = []
        for number, head in enumerate(self.heads):
            height = head(n)[2]
            box, points = self.truth(n, number)
            shake = self.jitter * height * self._random.standard_normal(14)
            found.append(
                Detection(
                    (box * (WIDTH, HEIGHT, WIDTH, HEIGHT) + shake[:4]).astype(np.float32),
                    (points * (WIDTH, HEIGHT) + shake[4:].reshape(5, 2)).astype(np.float32),
                    self.score,
                )
            )
        return found

    def follow(self, count: int, cuts: tuple[int, ...] = (), **settings: int) -> Tracks:
        return follow(self.shown(count, cuts), self, rate=RATE, **settings)


def still(n: int) -> tuple[float, float, float]:
    return 190.0, 110.0, 60.0


def swaying(n: int) -> tuple[float, float, float]:
    """A head that sways at 1 Hz, 40 pixels to each side: ten pixels a frame at most."""
    return 190 + 40 * np.sin(2 * np.pi * n / 25), 110 + 12 * np.sin(4 * np.pi * n / 25), 60.0


def pixels(track: Track, stage: Stage, head: int = 0) -> NDArray[np.float64]:
    """How far each frame's points are from the truth, (n, 5, 2), in pixels."""
    return np.stack(
        [
            (track.points[n - track.first] - stage.truth(n, head)[1]) * (WIDTH, HEIGHT)
            for n in range(track.first, track.last + 1)
        ]
    )


def whole(tracks: Tracks, count: int) -> Track:
    """The one track, which is there in every frame."""
    assert [(track.first, len(track)) for track in tracks.tracks] == [(0, count)]
    return tracks.tracks[0]


def test_a_swaying_head_is_one_track_nearer_to_the_truth_than_what_was_detected() -> None:
    stage = Stage([swaying])
    track = whole(stage.follow(75), 75)
    error = pixels(track, stage)[5:-5]
    assert np.sqrt((error**2).mean()) < 0.5 * stage.jitter * 60


def test_a_still_head_jitters_ten_times_less_than_what_was_detected() -> None:
    stage = Stage([still])
    track = whole(stage.follow(75), 75)
    steps = np.diff(track.points * (WIDTH, HEIGHT), axis=0)
    detected = np.sqrt(2) * stage.jitter * 60
    assert np.sqrt((steps**2).mean()) < detected / 10


def test_a_swaying_head_is_neither_late_nor_early() -> None:
    stage = Stage([swaying], jitter=0.0)
    track = whole(stage.follow(100), 100)
    found = (track.points[:, 2, 0] * WIDTH - 190)[10:-10]
    times = np.arange(100)[10:-10] / 25
    phase = np.angle(np.sum(found * np.exp(-2j * np.pi * times))) + np.pi / 2
    assert abs(phase) / (2 * np.pi) * 25 < 0.1  # of a frame


def test_twenty_flashes_do_not_break_a_track() -> None:
    stage = Stage([swaying], light=lambda n: 20.0 if n % 5 in (2, 3) else 0.5)
    track = whole(stage.follow(100), 100)
    assert np.sqrt((pixels(track, stage) ** 2).mean()) < 3


def test_a_face_detected_once_is_followed_through_a_strobe_that_does_not_blind() -> None:
    stage = Stage(
        [swaying], light=lambda n: 1.3 if n % 4 == 1 else 0.2, blind=lambda n: 12 < n < 50
    )
    track = whole(stage.follow(60), 60)
    assert np.sqrt((pixels(track, stage)[13:50] ** 2).mean()) < 2


def test_a_face_detected_once_is_followed_over_blackouts() -> None:
    stage = Stage(
        [swaying],
        light=lambda n: 0.0 if n % 8 in (3, 4, 5) else 0.7,
        blind=lambda n: 16 < n < 50 or n % 8 in (3, 4, 5),
    )
    track = whole(stage.follow(66), 66)
    assert np.sqrt((pixels(track, stage)[17:50] ** 2).mean()) < 4


def test_a_hand_that_rests_on_the_face_and_leaves_does_not_take_it_along() -> None:
    stage = Stage(
        [still],
        hand=lambda n: (
            130 + min(2.0 * (n - 16), 60.0) + max(0.0, 2.0 * (n - 60)) if n > 16 else None
        ),
        blind=lambda n: 30 <= n < 76,
    )
    track = whole(stage.follow(100), 100)
    error = np.abs(pixels(track, stage)).max((1, 2))
    assert error[track.trust > 0.6].max() < 8
    assert error.max() < 15


def test_a_face_that_comes_out_from_behind_a_hand_elsewhere_is_the_same() -> None:
    stage = Stage(
        [lambda n: (190.0 + 1.5 * max(0, n - 20), 110.0, 50.0)],
        hand=lambda n: 215.0 if 20 <= n < 36 else None,
        blind=lambda n: 20 <= n < 36,
    )
    whole(stage.follow(70), 70)


def test_a_track_lasts_while_the_detector_is_blind_for_a_second() -> None:
    stage = Stage([swaying], blind=lambda n: 30 <= n < 55)
    track = whole(stage.follow(90), 90)
    assert np.sqrt((pixels(track, stage) ** 2).mean()) < 2
    assert track.trust[42] < track.trust[25:30].max() == 1


def test_a_hand_that_passes_does_not_take_the_face_along() -> None:
    stage = Stage(
        [still],
        hand=lambda n: 100 + 9.0 * (n - 30) if 30 <= n < 52 else None,
        blind=lambda n: 34 <= n < 48,
    )
    track = whole(stage.follow(90), 90)
    assert np.abs(pixels(track, stage)).max() < 8


def test_a_cut_ends_every_track() -> None:
    stage = Stage([lambda n: still(n) if n < 40 else (120.0, 90.0, 50.0)])
    tracks = stage.follow(80, cuts=(40,))
    assert [(one.first, one.last) for one in tracks.tracks] == [(0, 39), (40, 79)]


def test_a_cut_ends_a_track_even_where_the_face_stays_in_its_place() -> None:
    tracks = Stage([still]).follow(60, cuts=(30,))
    assert [(one.first, one.last) for one in tracks.tracks] == [(0, 29), (30, 59)]


def test_a_face_is_followed_back_to_before_it_was_first_detected() -> None:
    stage = Stage([swaying], blind=lambda n: n < 14)
    track = whole(stage.follow(60), 60)
    assert np.sqrt((pixels(track, stage)[:14] ** 2).mean()) < 2
    assert track.trust[0] < 0.8


def test_two_heads_keep_their_own_tracks_while_they_pass_each_other() -> None:
    stage = Stage(
        [lambda n: (110.0 + 2 * n, 90.0, 60.0), lambda n: (270.0 - 2 * n, 130.0, 56.0)], jitter=0.01
    )
    tracks = stage.follow(80)
    assert len(tracks.tracks) == 2
    for track in tracks.tracks:
        head = 0 if track.boxes[0, 0] < 0.5 else 1
        assert np.sqrt((pixels(track, stage, head) ** 2).mean()) < 4


def test_what_is_seen_for_a_moment_is_no_face() -> None:
    stage = Stage([still], blind=lambda n: not 20 <= n < 26)
    assert stage.follow(60).tracks == ()


def test_what_is_never_sure_is_no_face() -> None:
    assert Stage([still], score=0.5).follow(60).tracks == ()


def test_no_frame_has_more_faces_than_asked_for() -> None:
    heads: list[Where] = [
        lambda n, place=place: (40.0 + 60 * place, 100.0, 40.0 + 2 * place) for place in range(6)
    ]
    tracks = Stage(heads).follow(30, most=4)
    assert {len(tracks.at(n)) for n in range(30)} == {4}


def test_faces_smaller_than_asked_for_are_left_out() -> None:
    stage = Stage([still, lambda n: (60.0, 60.0, 14.0)], jitter=0.0)
    tracks = follow(stage.shown(40), stage, rate=RATE, least_px=16)
    assert [round(float(track.boxes[0, 3]) * HEIGHT) for track in tracks.tracks] == [60]


def test_the_detector_looks_at_less_and_less_of_a_calm_shot() -> None:
    stage = Stage([still])
    stage.follow(100)
    assert len(stage.looked) < 20
    assert max(np.diff(stage.looked)) <= 8


def test_a_show_of_one_frame_has_its_face() -> None:
    assert len(whole(Stage([still]).follow(1), 1)) == 1


def test_nothing_shown_is_nothing_found() -> None:
    assert follow([], Stage([still]), rate=RATE).tracks == ()


def test_the_same_show_gives_the_same_tracks() -> None:
    one, other = (Stage([swaying]).follow(40).tracks[0] for _ in range(2))
    assert np.array_equal(one.boxes, other.boxes)
    assert np.array_equal(one.points, other.points)
