"""The chain as a whole, on music that was damaged on purpose: better, or bit for bit as it was."""

import json
import os
import struct
import warnings

import numpy as np
import pyloudnorm
import pytest
import soundfile
import soxr
from scipy import signal

from encoreaudio import (
    UNTOUCHED,
    Mastering,
    Recipe,
    Reference,
    Remix,
    Repair,
    SoundError,
    ToneTarget,
    master,
)

RATE = 44100
AS_IT_IS = Mastering(None, None)


def wav(path, samples, rate=RATE, subtype="DOUBLE"):
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def sound(path):
    return soundfile.read(path, always_2d=True)[0]


def apart_db(samples, truth):
    """How far the difference from the truth lies under it."""
    return 10 * np.log10(max(1e-30, np.square(samples - truth).sum()) / np.square(truth).sum())


def lufs(samples, rate=RATE):
    return pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(samples)


def treble_db(samples, rate=RATE):
    """How much power over 4 kHz there is against that under 400 Hz."""
    hertz, power = signal.welch(samples, rate, nperseg=4096, axis=0)
    power = power.mean(axis=1)
    under = power[(hertz > 60) & (hertz < 400)].sum()
    return 10 * np.log10(power[(hertz > 4000) & (hertz < 15000)].sum() / under)


def chunk(path, name):
    """What a RIFF file holds under a name."""
    whole, at = path.read_bytes(), 12
    while whole[at : at + 4] != name:
        at += 8 + (struct.unpack_from("<I", whole, at + 4)[0] + 1) // 2 * 2
    return whole[at + 8 : at + 8 + struct.unpack_from("<I", whole, at + 4)[0]]


def damaged(clean, seed=1):
    """The same with hiss, hum, clicks and an offset."""
    rng = np.random.default_rng(seed)
    at = np.arange(len(clean))[:, np.newaxis] / RATE
    worse = clean + rng.standard_normal(clean.shape) * 0.0056 + 0.02
    for number, level in ((1, 0.025), (2, 0.01), (3, 0.0126)):
        worse += level * np.sin(2 * np.pi * 50 * number * at + number)
    for click in rng.choice(len(clean) - 400, 40, replace=False) + 100:
        worse[click : click + 3] += rng.uniform(0.6, 1.4) * np.array([[0.3], [-0.2], [0.1]])
    return worse


@pytest.fixture
def song(music):
    """Twelve seconds of clean music, without an offset, with room for damage."""
    samples, _ = music
    return (samples - samples.mean(axis=0)) * 0.5


@pytest.fixture
def short(song):
    """A second and a half, for nets."""
    return song[: RATE + RATE // 2]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A separation net with weights by chance: what it tells apart is noise, but it sums up."""
    torch = pytest.importorskip("torch")
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    sizes = {
        "sources": ["drums", "bass", "other", "vocals"],
        "channels": 4,
        "nfft": 1024,
        "dconv_comp": 4,
        "t_layers": 1,
        "t_heads": 2,
        "segment": 1.0,
    }
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = HTDemucs(**sizes).state_dict()
    path = tmp_path_factory.mktemp("net") / "tiny.safetensors"
    facts = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(sizes)}
    save_file(state, str(path), facts)
    return str(path)


def test_damaged_music_comes_nearer_to_the_clean_and_the_report_tells_how(song, tmp_path):
    worse = damaged(song)
    source = wav(tmp_path / "in.wav", worse)
    report = master(source, tmp_path / "out.wav", Recipe(AS_IT_IS), subtype="FLOAT")
    out = sound(tmp_path / "out.wav") / 10 ** (report.gain_db / 20)
    assert apart_db(out, song) < apart_db(worse, song) - 12
    assert [done.name for done in report.repairs] == ["clicks", "dc", "hum", "hiss"]
    assert all(done.amount == 1 and done.did for done in report.repairs)
    assert len(report.clicks) >= 35
    assert abs(out.mean()) < 5e-4


def test_the_amount_of_a_repair_is_kept_to(song, tmp_path):
    worse = damaged(song)
    source = wav(tmp_path / "in.wav", worse)
    far = []
    for amount in (0, 0.5, 1):
        out = source
        if amount:
            out = tmp_path / "out.wav"
            repair = Repair(clicks=0, dc=0, hiss=0, hum=amount)
            master(source, out, Recipe(AS_IT_IS, repair), subtype="FLOAT")
        hertz, power = signal.welch((sound(out) - song)[:, 0], RATE, nperseg=RATE)
        far.append(10 * np.log10(power[np.abs(hertz - 50) <= 2].sum()))
    assert far[0] - far[1] == pytest.approx(6, abs=1)
    assert far[2] < far[1] - 6


@pytest.mark.parametrize("name", ["lets_go_fishin", "hungarian_dance", "vibe_ace"])
def test_clean_music_passes_unharmed_at_the_defaults(data, tmp_path, name):
    clean = soundfile.read(
        data(f"sound/music/{name}.ogg"), start=30 * RATE, frames=10 * RATE, always_2d=True
    )[0]
    clean = (clean - clean.mean(axis=0)) * 0.5
    source = wav(tmp_path / "in.wav", clean)
    report = master(source, tmp_path / "out.wav", Recipe(AS_IT_IS), subtype="FLOAT")
    assert apart_db(sound(tmp_path / "out.wav"), clean) <= -50
    assert {done.name for done in report.repairs} <= {"clicks"}


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_24"])
def test_a_chain_that_is_told_to_do_nothing_gives_the_very_samples(song, tmp_path, subtype):
    source = wav(tmp_path / "in.wav", damaged(song), subtype=subtype)
    recipe = Recipe(AS_IT_IS, UNTOUCHED, tone=ToneTarget(), dither="shaped")
    report = master(source, tmp_path / "out.wav", recipe, subtype=subtype)
    assert np.array_equal(sound(tmp_path / "out.wav"), sound(source))
    assert (report.repairs, report.stems, report.tone, report.gain_db) == ((), (), None, 0)
    assert not report.dithered


def test_stems_that_nobody_changes_change_nothing_and_sum_to_what_was_repaired(
    net, short, tmp_path
):
    worse = short + 0.02
    source = wav(tmp_path / "in.wav", worse)
    work = tmp_path / "work"
    work.mkdir()
    repair = Repair(clicks=0, hum=0, hiss=0)
    plain = Recipe(AS_IT_IS, repair)
    master(source, tmp_path / "plain.wav", plain, subtype="FLOAT")
    levels = dict.fromkeys(("vocals", "drums", "bass", "other", "residual"), 0.0)
    report = master(
        source,
        tmp_path / "out.wav",
        Recipe(AS_IT_IS, repair, Remix(net, levels, voice_hiss=0)),
        subtype="FLOAT",
        device="cpu",
        work=work,
        stems=tmp_path / "stems",
    )
    out = sound(tmp_path / "out.wav")
    assert np.array_equal(out, sound(tmp_path / "plain.wav"))
    assert [done.name for done in report.repairs] == ["dc"]
    names = sorted(os.listdir(tmp_path / "stems"))
    assert names == ["bass.wav", "drums.wav", "other.wav", "residual.wav", "vocals.wav"]
    assert sorted(report.stems) == [name.removesuffix(".wav") for name in names]
    stems = [sound(tmp_path / "stems" / name) for name in names]
    assert all(len(stem) == len(short) for stem in stems)
    assert 20 * np.log10(np.abs(sum(stems) - out).max()) < -120
    assert os.listdir(work) == []


def test_a_stem_that_is_louder_is_louder_by_what_was_asked(net, short, tmp_path):
    source = wav(tmp_path / "in.wav", short)
    report = master(
        source,
        tmp_path / "out.wav",
        Recipe(AS_IT_IS, UNTOUCHED, Remix(net, {"vocals": 6.0}, voice_hiss=0)),
        subtype="FLOAT",
        device="cpu",
        stems=tmp_path / "stems",
    )
    voice = sound(tmp_path / "stems/vocals.wav")
    assert np.abs(voice).max() > 1e-3
    expected = short + voice * (10 ** (6 / 20) - 1)
    assert np.abs(sound(tmp_path / "out.wav") - expected).max() < 1e-6
    assert report.samples == len(short)


def test_a_stem_that_the_model_does_not_have_is_told_before_the_work(net, short, tmp_path):
    source = wav(tmp_path / "in.wav", short)
    told = []
    with pytest.raises(SoundError, match="no stem 'guitar'; there are: drums, bass, other, voc"):
        master(
            source,
            tmp_path / "out.wav",
            Recipe(remix=Remix(net, {"guitar": 3})),
            progress=lambda done, total: told.append(done),
        )
    assert told == []
    assert os.listdir(tmp_path) == ["in.wav"]


@pytest.mark.parametrize(("source", "target"), [("vocals", "out"), ("in", "residual")])
def test_a_stem_takes_neither_the_sources_nor_the_masters_place(
    net, short, tmp_path, source, target
):
    taken = wav(tmp_path / f"{source}.wav", short)
    before = taken.read_bytes()
    with pytest.raises(SoundError, match="place; give another folder for the stems"):
        master(taken, tmp_path / f"{target}.wav", Recipe(remix=Remix(net)), stems=tmp_path)
    assert os.listdir(tmp_path) == [f"{source}.wav"]
    assert taken.read_bytes() == before


def test_stems_that_nobody_makes_are_refused(short, tmp_path):
    source = wav(tmp_path / "in.wav", short)
    with pytest.raises(SoundError, match="no stems to write; choose a model"):
        master(source, tmp_path / "out.wav", stems=tmp_path / "stems")
    assert os.listdir(tmp_path) == ["in.wav"]


@pytest.mark.parametrize("fill", [False, True])
def test_a_source_is_put_on_the_clock_of_its_reference(data, tmp_path, fill):
    whole = soundfile.read(
        data("sound/music/lets_go_fishin.ogg"), start=20 * RATE, frames=40 * RATE, always_2d=True
    )[0]
    whole = (whole - whole.mean(axis=0)) * 0.5
    # The camera began 5 s after the desk, ran 4 s longer, at another rate, in one channel.
    desk, camera = whole[: 36 * RATE], whole[5 * RATE :].mean(axis=1)
    camera = soxr.resample(camera, RATE, 48000, "VHQ")
    camera += np.random.default_rng(0).standard_normal(len(camera)) * 0.01
    source = wav(tmp_path / "desk.wav", desk, subtype="FLOAT")
    reference = wav(tmp_path / "camera.wav", camera, 48000, subtype="FLOAT")
    recipe = Recipe(AS_IT_IS, UNTOUCHED, reference=Reference(reference, fill=fill))
    report = master(source, tmp_path / "out.wav", recipe, subtype="FLOAT")
    out = sound(tmp_path / "out.wav")
    assert report.alignment.offset_s == pytest.approx(5, abs=5e-4)
    assert len(out) == report.samples == 35 * RATE
    heard = slice(RATE, 30 * RATE)
    assert apart_db(out[heard], whole[5 * RATE :][heard]) < -20
    after = out[round(31.5 * RATE) : round(34.5 * RATE)]
    assert after.any() == fill


def test_a_tilt_brightens_and_the_loudness_is_met(song, tmp_path):
    source = wav(tmp_path / "in.wav", song)
    report = master(
        source,
        tmp_path / "out.flac",
        Recipe(Mastering(-20.0), UNTOUCHED, tone=ToneTarget(tilt_db=9.0)),
    )
    out = sound(tmp_path / "out.flac")
    # Of 9 dB over ten octaves, about five lie between the two bands' middles.
    assert 3 < treble_db(out) - treble_db(song) < 7
    assert lufs(out) == pytest.approx(-20, abs=0.1)
    assert report.tone is not None
    assert len(out) == len(song)


def test_a_recording_is_matched_to_another_in_tone_and_not_in_level(song, tmp_path):
    dark = signal.sosfilt(signal.butter(1, 1500, fs=RATE, output="sos"), song, axis=0) * 0.1
    source = wav(tmp_path / "in.wav", song)
    other = wav(tmp_path / "dark.wav", dark)
    tone = ToneTarget(other, amount=1.0, most_db=12.0, phase="minimum")
    master(source, tmp_path / "out.wav", Recipe(Mastering(-20.0), UNTOUCHED, tone=tone))
    out = sound(tmp_path / "out.wav")
    way = (treble_db(song) - treble_db(out)) / (treble_db(song) - treble_db(dark))
    assert 0.5 < way < 1.2
    assert lufs(out) == pytest.approx(-20, abs=0.1)


def test_a_tone_that_is_neither_a_curve_nor_a_file_is_refused(short, tmp_path):
    source = wav(tmp_path / "in.wav", short)
    with pytest.raises(SoundError, match=r"'worm' is neither a file nor one of concert, neutral"):
        master(source, tmp_path / "out.wav", Recipe(tone=ToneTarget("worm")))
    assert os.listdir(tmp_path) == ["in.wav"]


def test_songs_of_a_show_come_nearer_to_each_other_within_the_bound(data, tmp_path):
    first = soundfile.read(
        data("sound/music/lets_go_fishin.ogg"), start=20 * RATE, frames=36 * RATE, always_2d=True
    )[0]
    second = soundfile.read(
        data("sound/music/hungarian_dance.ogg"), frames=36 * RATE, always_2d=True
    )[0]
    second = np.repeat(second[:, :1], 2, axis=1)
    first, second = (
        part * 10 ** ((level - lufs(part)) / 20) for part, level in ((first, -22), (second, -31))
    )
    gap = np.random.default_rng(0).standard_normal((7 * RATE, 2)) * 1e-4
    source = wav(tmp_path / "in.wav", np.concatenate([first, gap, second]), subtype="FLOAT")
    wanted = Mastering(-24.0, None, mode="song", song_range_db=2.0)
    report = master(source, tmp_path / "out.wav", Recipe(wanted, UNTOUCHED), subtype="FLOAT")
    out = sound(tmp_path / "out.wav")
    assert len(report.songs) == 2
    assert [song.lufs for song in report.songs] == pytest.approx([-22, -31], abs=0.3)
    loud, quiet = out[: len(first)], out[-len(second) :]
    nearer = (lufs(quiet) - lufs(loud)) - (lufs(second) - lufs(first))
    assert nearer == pytest.approx(report.song_offsets_db[1] - report.song_offsets_db[0], abs=0.2)
    assert 1.5 < nearer <= 4.1
    assert lufs(out) == pytest.approx(-24, abs=0.1)
    # Within a song nothing moves.
    gains = loud[RATE:-RATE] / np.where(np.abs(first) > 0.01, first, np.nan)[RATE:-RATE]
    assert np.nanstd(gains) < 1e-4 * np.nanmean(gains)


def test_surround_is_mixed_down_by_the_standard(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.2, 0.2, (RATE, 6))
    source = wav(tmp_path / "in.wav", samples, subtype="FLOAT")
    recipe = Recipe(AS_IT_IS, UNTOUCHED, downmix="stereo")
    report = master(source, tmp_path / "out.wav", recipe, subtype="FLOAT")
    # ITU-R BS.775-4, annex 4: fronts in full, the centre and a side's surround at -3 dB, no LFE.
    half = 0.5**0.5
    left, right, centre, _, back_left, back_right = samples.T
    expected = np.stack(
        [left + half * (centre + back_left), right + half * (centre + back_right)], axis=1
    )
    assert np.abs(sound(tmp_path / "out.wav") - expected).max() < 1e-6
    assert (report.channels, report.speakers) == (2, ("FL", "FR"))


def test_what_a_recording_says_of_itself_survives_with_the_new_loudness(song, tmp_path, ffmpeg):
    wav(tmp_path / "plain.wav", song, subtype="PCM_24")
    source = tmp_path / "in.wav"
    said = {
        "title": "Così & <so>",
        "description": "Desk tape, reel 2",
        "originator": "A studio",
        "originator_reference": "REF0001",
        "time_reference": str(3600 * RATE),
    }
    told = [part for name, text in said.items() for part in ("-metadata", f"{name}={text}")]
    ffmpeg("-i", tmp_path / "plain.wav", "-c", "copy", "-write_bext", "1", *told, source)
    report = master(source, tmp_path / "out.wav", Recipe(Mastering(-18.0, -1.0), UNTOUCHED))
    assert "Così & <so>" in ffmpeg("-i", tmp_path / "out.wav", "-f", "null", "-")
    # EBU Tech 3285 version 2: texts, the time reference, and five values in hundredths.
    bext = chunk(tmp_path / "out.wav", b"bext")
    for name, first, last in (
        ("description", 0, 256),
        ("originator", 256, 288),
        ("originator_reference", 288, 320),
    ):
        assert bext[first:last].rstrip(b"\0").decode() == said[name]
    assert struct.unpack_from("<Q", bext, 338) == (3600 * RATE,)
    integrated, spread, peak, momentary, short_term = struct.unpack_from("<5h", bext, 412)
    out = sound(tmp_path / "out.wav")
    assert integrated / 100 == pytest.approx(lufs(out), abs=0.06)
    assert integrated / 100 == pytest.approx(-18, abs=0.1)
    assert peak / 100 == pytest.approx(report.after.true_peak_dbtp, abs=0.01)
    assert momentary >= short_term >= integrated
    assert 0 <= spread < 2000


def test_a_page_is_written_and_the_work_folder_is_left_empty(song, tmp_path):
    source = wav(tmp_path / "<in> & out.wav", damaged(song[: 6 * RATE]))
    work = tmp_path / "work"
    work.mkdir()
    report = master(source, tmp_path / "out.flac", work=work, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>&lt;in&gt; &amp; out.wav</h1>" in page
    assert "<h2>Spectrograms</h2>" in page
    assert page.count("data:image/png;base64,") == 2
    assert report.repairs
    assert all(f"<td>{done.name}</td>" in page for done in report.repairs)
    assert os.listdir(work) == []
    assert set(os.listdir(tmp_path)) == {"<in> & out.wav", "work", "out.flac", "page.html"}


def test_shaped_dither_keeps_the_length_and_lies_where_ears_hear_it_least(song, tmp_path):
    frames = 5 * RATE + 1
    source = wav(tmp_path / "in.wav", song[:frames])
    ear_db = {}
    for dither in ("flat", "shaped"):
        recipe = Recipe(AS_IT_IS, UNTOUCHED, dither=dither)
        report = master(source, tmp_path / "out.wav", recipe, subtype="PCM_16")
        out = sound(tmp_path / "out.wav")
        assert len(out) == report.samples == frames
        assert report.dithered
        hertz, power = signal.welch((out - song[:frames])[:, 0], RATE, nperseg=2048)
        ear_db[dither] = 10 * np.log10(power[(hertz > 2500) & (hertz < 4500)].mean())
    assert ear_db["shaped"] < ear_db["flat"] - 6


def test_progress_over_all_passes_goes_forward_to_the_end(song, tmp_path):
    told = []
    source = wav(tmp_path / "in.wav", damaged(song[: 4 * RATE]))
    master(
        source,
        tmp_path / "out.flac",
        Recipe(Mastering(-14.0, -6.0), tone=ToneTarget("warm")),
        progress=lambda done, total: told.append((done, total)),
    )
    done = [seconds for seconds, _ in told]
    assert done == sorted(done)
    assert told[-1] == (pytest.approx(4), pytest.approx(4))
