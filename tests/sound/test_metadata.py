"""What a recording says of itself, kept: read by outside readers, and by ours."""

import struct
from contextlib import suppress
from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile

from encoreaudio import SoundError
from encoreaudio.loudness import Levels
from encoreaudio.metadata import Mark, Metadata, riff_chunks
from encoreaudio.stream import Reader, Writer, read_metadata

RATE = 48000
FULL = Metadata(
    title="Così fan tutte 一",
    artist="The Band",
    album="Live 2000",
    date="2000-01-02",
    comment="Second night",
    genre="Rock",
    track="3",
    copyright="(c) 2000",
    description="Desk tape, reel 2",
    originator="A studio",
    originator_reference="REF0001",
    origination_date="2000-01-02",
    origination_time="20:30:00",
    midnight_s=73800.5,
    coding_history="A=ANALOGUE,M=stereo,T=Studer A80\r\n",
    ixml="<BWFXML><SCENE>1</SCENE></BWFXML>",
    marks=(Mark(0.0, "Opening"), Mark(0.25, "Second song é")),
)
TITLES_ONLY = Metadata(
    **{
        name: getattr(FULL, name)
        for name in ("title", "artist", "album", "date", "comment", "genre", "track", "copyright")
    }
)


def written(path, metadata, samples=None, loudness=None, subtype="PCM_24", **more):
    whole = np.random.default_rng(0).integers(-(2**23), 2**23, (RATE // 2 + 1, 1)) << 8
    whole = (whole if samples is None else samples).astype(np.int32)
    if subtype == "PCM_16":
        whole = (whole >> 16).astype(np.int16)
    channels = whole.shape[1]
    with Writer(path, RATE, channels, subtype, len(whole), metadata=metadata, **more) as writer:
        writer.write(whole)
        writer.loudness = loudness
        writer.commit()
    return whole


@pytest.mark.parametrize("suffix", ["wav", "rf64"])
def test_a_wav_gives_back_all_that_was_put_in(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    whole = written(path, FULL)
    found = read_metadata(path)
    mine = "A=PCM,F=48000,W=24,M=mono,T=Encore\r\n"
    assert found == replace(FULL, coding_history=FULL.coding_history + mine)
    # The samples, an odd number of bytes, are what they were, for readers not ours.
    out, rate = soundfile.read(path, dtype="int32", always_2d=True)
    assert rate == RATE
    assert np.array_equal(out, whole)
    with av.open(str(path)) as container:
        assert container.metadata["time_reference"] == str(round(73800.5 * RATE))
        assert container.metadata["originator_reference"] == "REF0001"
        names = [chapter["metadata"]["title"] for chapter in container.chapters()]
        assert names == ["Opening", "Second song é"]
        assert container.chapters()[1]["start"] == RATE // 4


@pytest.mark.parametrize("suffix", ["flac", "caf"])
def test_titles_go_into_flac_and_caf(tmp_path, suffix):
    written(tmp_path / f"a.{suffix}", FULL)
    assert read_metadata(tmp_path / f"a.{suffix}") == TITLES_ONLY
    if suffix == "flac":
        with soundfile.SoundFile(tmp_path / "a.flac") as file:
            assert file.title == FULL.title


def test_aiff_keeps_what_it_has_a_place_for_and_w64_has_none(tmp_path):
    written(tmp_path / "a.aiff", FULL)
    found = read_metadata(tmp_path / "a.aiff")
    assert (found.title, found.artist, found.comment) == (FULL.title, FULL.artist, FULL.comment)
    written(tmp_path / "a.w64", FULL)
    assert read_metadata(tmp_path / "a.w64") == Metadata()


def test_measured_loudness_stands_in_the_broadcast_extension(tmp_path):
    # Offsets by EBU Tech 3285 version 2: Version at 346, the five levels from 412 on.
    levels = Levels(
        integrated_lufs=-14.03,
        range_lu=6.5,
        momentary_max_lufs=None,
        short_term_max_lufs=-10.25,
        true_peak_dbtp=-1.02,
    )
    written(tmp_path / "a.wav", FULL, loudness=levels)
    content = dict(riff_chunks(tmp_path / "a.wav"))[b"bext"]
    assert struct.unpack_from("<H", content, 346) == (2,)
    assert struct.unpack_from("<5h", content, 412) == (-1403, 650, -102, 0x7FFF, -1025)
    assert content[602:].endswith(b"T=Encore\r\n")
    written(tmp_path / "a.wav", FULL)
    assert struct.unpack_from("<H", dict(riff_chunks(tmp_path / "a.wav"))[b"bext"], 346) == (1,)


def test_time_and_marks_follow_the_beginning(tmp_path):
    path = tmp_path / "a.wav"
    written(path, FULL)
    with Reader(path, start_s=0.125) as reader:
        found = reader.metadata
    assert found.midnight_s == 73800.625
    assert found.marks == (Mark(0.0, "Opening"), Mark(0.125, "Second song é"))
    assert found.ixml == ""  # its times would not be true any more
    with Reader(path, start_s=-1) as reader:
        assert reader.metadata.midnight_s == 73799.5
        assert [mark.at_s for mark in reader.metadata.marks] == [1, 1.25]
    assert FULL.begun_at(86400 - 73800.5).midnight_s == 0


def test_tags_and_chapters_of_a_film_are_found(tmp_path, ffmpeg):
    plain = tmp_path / "plain.wav"
    soundfile.write(plain, np.zeros((2 * RATE, 2)), RATE)
    tags = tmp_path / "tags.txt"
    tags.write_text(
        ";FFMETADATA1\ntitle=The Show\nartist=X\ndate=2000\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=Song A\n"
    )
    for suffix, codec in (("mkv", "flac"), ("mp4", "aac"), ("ogg", "libvorbis")):
        path = tmp_path / f"a.{suffix}"
        ffmpeg("-i", plain, "-i", tags, "-map", "0", "-map_metadata", "1", "-c:a", codec, path)
        found = read_metadata(path)
        assert (found.title, found.artist, found.date) == ("The Show", "X", "2000"), suffix
        if suffix == "mkv":
            assert found.marks == (Mark(0.5, "Song A"),)


def test_hostile_text_is_only_text(tmp_path):
    nasty = Metadata(
        title="../../etc/passwd\0\x1b[31m\n" + "x" * 9000,
        description="é" * 300,
        originator="\N{GRINNING FACE}" * 20,
        marks=tuple(Mark(n / 5000, "m" * 500) for n in range(1500)),
    )
    path = tmp_path / "a.wav"
    raw = replace(nasty, title=nasty.title.replace("\0", ""))
    written(path, raw)
    found = read_metadata(path)
    assert found.title.isprintable()
    assert len(found.title) == 4000
    assert found.description == "é" * 128
    assert found.originator == "\N{GRINNING FACE}" * 8
    assert len(found.marks) <= 999
    assert all(len(mark.name) <= 200 for mark in found.marks)


@pytest.mark.parametrize("size", [0, 7, 100, 601, 2**31])
def test_a_broken_chunk_is_read_past_or_one_line(tmp_path, size):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((100, 1)), RATE, subtype="PCM_16")
    whole = path.read_bytes() + b"bext" + struct.pack("<I", size) + b"\xff" * min(size, 700)
    path.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    assert all(len(content) <= 700 for _, content in riff_chunks(path))
    with suppress(SoundError):  # FFmpeg refuses some of them
        assert read_metadata(path).description == ""


@pytest.mark.parametrize("suffix", ["wav", "rf64"])
@pytest.mark.parametrize(
    "speakers",
    [
        ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
        ("FL", "FR", "FC", "LFE", "SL", "SR"),
        ("FL", "FR", "LFE"),
    ],
)
def test_the_channels_places_are_told_to_other_readers(tmp_path, suffix, speakers):
    path = tmp_path / f"a.{suffix}"
    written(path, None, np.ones((100, len(speakers))) * 2**30, speakers=speakers)
    with av.open(str(path)) as container:
        layout = container.streams.audio[0].layout
        assert tuple(channel.name for channel in layout.channels) == speakers
