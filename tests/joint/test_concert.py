"""The demo's concert is what it claims to be: truly interlaced, tagged, in step, the same again."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from encore import concert
from encore.concert import score
from encore.concert.stage import Stage

SECONDS = 0.4


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("concert") / "a concert.vob"
    concert.record(file, SECONDS, seed=3)
    return file


@pytest.fixture(scope="module")
def truth() -> list[np.ndarray]:
    return list(concert.pictures(SECONDS, seed=3))


@pytest.fixture(scope="module")
def luma(recorded: Path) -> list[np.ndarray]:
    with av.open(str(recorded)) as container:
        return [frame.to_ndarray()[:576].astype(float) for frame in container.decode(video=0)]


def test_the_recording_is_a_pal_dvd_picture(recorded: Path) -> None:
    with av.open(str(recorded)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(video=0))
        assert stream.codec_context.name == "mpeg2video"
        assert (stream.width, stream.height) == (720, 576)
        assert stream.sample_aspect_ratio == Fraction(64, 45)
        assert stream.average_rate == 25
        assert frame.interlaced_frame
        assert int(frame.colorspace) == int(frame.color_primaries) == 5  # bt470bg
        assert int(frame.color_trc) == 6  # smpte170m
        assert int(frame.color_range) == 1


def test_every_frame_is_there(luma: list[np.ndarray]) -> None:
    assert len(luma) == 10


def test_the_top_field_is_the_earlier_picture_and_the_bottom_field_the_later(
    luma: list[np.ndarray], truth: list[np.ndarray]
) -> None:
    """Each field is nearer to the truth of its own moment than to its neighbour's."""
    for number, frame in enumerate(luma):
        moments = [_narrow(truth[2 * number + parity]) for parity in (0, 1)]
        for parity in (0, 1):
            earlier, later = (moment[parity::2] for moment in moments)
            along = np.vdot(frame[parity::2] - (earlier + later) / 2, later - earlier)
            assert (along > 0) == bool(parity), (number, parity)


def test_the_sound_is_stereo_as_long_as_the_picture_and_not_clipped(recorded: Path) -> None:
    with av.open(str(recorded)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("mp2", 48000, 2)
        assert stream.codec_context.bit_rate == 256_000
        sound = np.concatenate([f.to_ndarray() for f in container.decode(stream)], axis=1)
    level = sound.astype(float) / (32768 if sound.dtype.kind == "i" else 1)
    assert level.shape[1] / 48000 == pytest.approx(SECONDS, abs=0.06)
    assert 0.01 < np.sqrt(np.square(level).mean()) < 0.3
    assert np.abs(level).max() < 0.99


def test_the_same_seed_is_the_same_concert(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("first.vob", "again.vob", "other.vob"))
    for file, seed in ((first, 3), (again, 3), (other, 4)):
        concert.record(file, 0.04, seed)
    assert again.read_bytes() == first.read_bytes()
    assert other.read_bytes() != first.read_bytes()


def test_there_is_a_hard_cut_where_the_score_says(truth: list[np.ndarray]) -> None:
    changes = [np.abs(b.astype(int) - a.astype(int)).mean() for a, b in itertools.pairwise(truth)]
    [cut] = score.cuts(SECONDS)
    assert np.argmax(changes) + 1 == round(50 * cut)
    assert max(changes) > 5 * np.median(changes)


def test_a_flash_is_a_bright_frame_or_two() -> None:
    stage = Stage(6.0, seed=0, height=144)
    for start, length in score.flashes(6.0):
        count = round(50 * length)
        lit = [stage.picture(start + n / 50).mean() for n in range(-1, count + 1)]
        assert min(lit[1:-1]) > 1.3 * max(lit[0], lit[-1])


def test_the_tape_left_hiss_hum_and_an_offset() -> None:
    sound = concert.sound(4.0, seed=0).astype(float)
    spectrum = np.abs(np.fft.rfft(sound[:, 0] * np.hanning(len(sound))))
    hz = np.fft.rfftfreq(len(sound), 1 / 48000)
    near = (hz > 340) & (hz < 360) & (np.abs(hz - 350) > 2)
    assert spectrum[np.argmin(np.abs(hz - 350))] > 2 * np.median(spectrum[near])
    assert 0.001 < sound.mean() < 0.008


def test_progress_counts_frames(tmp_path: Path) -> None:
    told: list[tuple[float, float | None]] = []
    concert.record(
        tmp_path / "c.vob", 0.08, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 2), (2, 2)]


def test_a_failed_encode_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from encore.concert import recording
    from encore.errors import JobError

    honest = recording._encode
    monkeypatch.setattr(
        recording, "_encode", lambda pcm, tape: [*honest(pcm, tape)[:-1], "/nowhere/tape.vob"]
    )
    with pytest.raises(JobError, match="could not be encoded"):
        concert.record(tmp_path / "c.vob", 0.08)
    assert list(tmp_path.iterdir()) == []


def _narrow(picture: np.ndarray) -> np.ndarray:
    """BT.601 luma in code values at the recording's width, by the mean of neighbouring columns."""
    luma = picture.astype(float) @ (0.299, 0.587, 0.114)
    at = (np.arange(720) + 0.5) * 1024 / 720 - 0.5
    low = np.floor(at).astype(int)
    return 16 + 219 / 255 * (luma[:, low] * (1 - at + low) + luma[:, low + 1] * (at - low))
