"""Chunks joined to one stream: every time exact, every packet that of a chunk, or decoded."""

import hashlib
from fractions import Fraction
from itertools import accumulate

import av
import numpy as np
import pytest

from encore import encode, verify
from encore.chunked.piece import packets_of
from encore.encode import Clip
from encore.errors import JobError
from encore.mux import joined, on_the_grid
from encore.preset import Encode
from encore.render import run
from encore.verify import Expected

RATE = Fraction(30000, 1001)
LENGTHS = [(7 * n) % 9 + 1 for n in range(50)]
FRAMES = sum(LENGTHS)
CLIP = Clip(32, 32, FRAMES, RATE, "YUV420P8", 1, 1, 1, False, 0, Fraction(1))


def encoded(path, rate, frames, first=0):
    """Frames of moving noise, by x264 with its frames out of order."""
    scale = encode.video_arguments(Encode(codec="x264"), CLIP)
    scale = scale[scale.index("-video_track_timescale") + 1]
    with av.open(str(path), "w", options={"video_track_timescale": scale}) as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "veryfast", "bf": "2"})
        stream.width = stream.height = 32
        stream.time_base = 1 / rate
        context = stream.codec_context
        context.colorspace = context.color_trc = context.color_primaries = 1
        context.color_range = 1
        for n in range(frames):
            picture = np.random.default_rng(first + n).integers(16, 235, (48, 32), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts, frame.time_base = n, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    """Fifty chunks of 1 to 9 frames, as (file, frames)."""
    work = tmp_path_factory.mktemp("job")
    (work / "chunks").mkdir()
    begins = accumulate(LENGTHS, initial=0)
    made = [
        (encoded(work / "chunks" / f"{n}.mp4", RATE, frames, first), frames)
        for n, (frames, first) in enumerate(zip(LENGTHS, begins, strict=False))
    ]
    return work, made


@pytest.fixture(scope="module", params=[".mp4", ".mkv"])
def film(request, chunks):
    work, made = chunks
    return join(work, made, RATE, work / f"film{request.param}")


def join(work, made, rate, target):
    arguments = ["-copyts", *joined(made, rate, work), "-map", "0:v:0", "-c", "copy"]
    run([*arguments, "-bsf:v:0", on_the_grid(rate), str(target)], work / "mux.log", folder=work)
    return target


def times_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [packet.pts * stream.time_base for packet in packets]


def pieces(chunks):
    return tuple((frames, packets_of(path, frames, RATE)) for path, frames in chunks[1])


def expected(found):
    return Expected(CLIP, None, None, False, {}, 0, found)


def test_every_time_is_exact_over_fifty_chunks_of_odd_lengths(film):
    times = sorted(times_of(film))
    exact = [n / RATE for n in range(FRAMES)]
    if film.suffix == ".mkv":  # whole milliseconds
        assert all(abs(a - b) <= Fraction(1, 2000) for a, b in zip(times, exact, strict=True))
    else:
        assert times == exact
    assert packets_of(film, FRAMES, RATE, decode=True)


def test_the_packets_are_those_of_the_chunks_in_their_order(film, chunks):
    seen = hashlib.sha256()
    for path, _ in chunks[1]:
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                seen.update(bytes(packet) if packet.size else b"")
    assert packets_of(film, FRAMES, RATE) == seen.hexdigest()


def test_one_chunk_is_taken_as_it_is(chunks, tmp_path):
    path, frames = chunks[1][8]
    assert joined([(path, frames)], RATE, tmp_path) == ["-i", str(path)]
    film = join(tmp_path, [(path, frames)], RATE, tmp_path / "film.mp4")
    assert sorted(times_of(film)) == [n / RATE for n in range(frames)]


@pytest.mark.parametrize(
    "rate", [Fraction(25), Fraction(50), Fraction(24000, 1001), Fraction(60000, 1001)]
)
def test_the_last_time_of_two_hours_is_exact_at_every_usual_rate(rate, tmp_path):
    """The list's whole microseconds, put on the grid as FFmpeg does it, after two hours."""
    frames = round(7200 * rate)
    lengths = [1499] * (frames // 1499)
    made = [(tmp_path / f"{n}.mp4", length) for n, length in enumerate(lengths)]
    joined(made, rate, tmp_path)
    lines = (tmp_path / "picture.ffconcat").read_text().splitlines()
    told = [int(line.split()[1].removesuffix("us")) for line in lines if "duration" in line]
    for begin, first in zip(accumulate(told, initial=0), accumulate(lengths, initial=0),
                            strict=True):  # fmt: skip
        assert round(Fraction(begin, 1_000_000) * rate) == first
        assert abs(Fraction(begin, 1_000_000) - first / rate) <= Fraction(1, 1_000_000)


def test_packets_that_are_those_of_the_chunks_are_not_decoded_again(film, chunks, monkeypatch):
    def decoded(*arguments):
        raise AssertionError("decoded")

    monkeypatch.setattr(verify, "_decoded", decoded)
    found = verify.verify(film, expected(pieces(chunks)))
    assert found.frames == FRAMES
    assert found.worst_clock_error_s <= (0.0005 if film.suffix == ".mkv" else 0)


@pytest.mark.parametrize("change", ["first", "middle", "last", "one missing", "one more", "none"])
def test_packets_that_are_not_are_decoded(film, chunks, monkeypatch, change):
    decoded, calls = verify._decoded, []
    monkeypatch.setattr(verify, "_decoded", lambda *a: (calls.append(a), decoded(*a))[1])
    told = list(pieces(chunks))
    if change == "one missing":
        told.pop()
    elif change == "one more":
        told.append((1, "00"))
    elif change == "none":
        told.clear()
    else:
        at = {"first": 0, "middle": 25, "last": 49}[change]
        told[at] = (told[at][0], "00")
    assert verify.verify(film, expected(tuple(told))).frames == FRAMES
    assert len(calls) == 1


def test_a_film_that_lacks_a_chunk_is_noticed(chunks, tmp_path):
    work, made = chunks
    short = join(work, made[:-1], RATE, tmp_path / "short.mp4")
    with pytest.raises(JobError, match=f"has {FRAMES - LENGTHS[-1]} pictures, not {FRAMES}"):
        verify.verify(short, expected(pieces(chunks)))


def test_a_film_off_the_grid_is_noticed(chunks, tmp_path):
    work, made = chunks
    wrong = join(work, made, Fraction(25), tmp_path / "wrong.mp4")
    with pytest.raises(JobError, match="off its time"):
        verify.verify(wrong, expected(pieces(chunks)))
