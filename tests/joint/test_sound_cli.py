"""`encore audio`: one line and code 2 for a wrong request; else a master, its report, its page."""

import json
import os
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from encore import cli

RATE = 44100


@pytest.fixture
def audio(capsys, monkeypatch, tmp_path):
    """`encore audio`, run in this process and in an empty folder."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["encore", "audio", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(returncode=left.value.code, stdout=said.out, stderr=said.err)

    return run


@pytest.fixture
def show(tmp_path):
    """Ten seconds of chords that come and go, with an offset and hum in them."""
    at = np.arange(10 * RATE)[:, np.newaxis] / RATE
    swell = np.clip(np.sin(np.pi * at / 2.5) + 0.3, 0, 1)
    chord = sum(np.sin(2 * np.pi * hertz * at) for hertz in (330, 415, 494, 1319))
    hum = sum(0.01 / n * np.sin(2 * np.pi * 50 * n * at) for n in (1, 2, 3))
    samples = 0.05 * swell * chord + hum + 0.03
    path = tmp_path / "<show> & more.wav"
    soundfile.write(path, np.repeat(samples, 2, axis=1), RATE, subtype="PCM_24")
    return path


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["out.mp3"], "must end in one of .flac, .wav, .w64, .rf64"),
        (["out.mkv"], "must end in one of"),
        (["out.flac", "--fill"], "--fill wants --align"),
        (["out.flac", "--align", "nowhere.mkv"], "--align: nowhere.mkv does not exist"),
        (["out.flac", "--set", "sound.repair.hum=2"], "sound.repair.hum"),
        (["out.flac", "--set", "sound.repair.huum=1"], "did you mean"),
        (["out.flac", "--set", "sound.repair.hum"], "sound.repair.hum"),
        (["out.flac", "--set", "sound.repair.hiss_print=[5, 2]"], "must go forward"),
        (["out.flac", "--set", "sound.loudness.target_lufs=3"], "sound.loudness.target_lufs"),
        (["out.flac", "--set", "sound.mix.vocals_db=3"], "set sound.separate.model"),
        (["out.flac", "--set", "sound.tone.match=worm"], "neither a file nor one of none, concert"),
        (["out.flac", "--set", "sound.separate.model=spleeter"], "it may be none, hdemucs_mmi"),
        (["out.flac", "--device", "tpu"], "--device is auto, cpu, cuda"),
        (["out.flac", "--range", "9-3"], "ends before it begins"),
        (["out.flac", "--range", "0-1", "--align", "{show}"], "do not go together"),
        (["out.flac", "--stems", "stems"], "set sound.separate.model (htdemucs)"),
        (["nowhere/out.flac"], "there is no folder"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(audio, show, tmp_path, arguments, hint):
    answer = audio(show, *(part.format(show=show) for part in arguments))
    assert answer.returncode == 2, answer.stderr
    assert hint in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert answer.stderr.startswith("encore: ")
    assert not list((tmp_path / "empty").iterdir())


def test_a_source_that_is_not_there_is_told(audio, tmp_path):
    answer = audio("nowhere.wav", "out.flac")
    assert answer.returncode == 2
    assert "nowhere.wav" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list((tmp_path / "empty").iterdir())


def test_a_model_that_is_not_here_is_answered_with_the_command_that_fetches_it(
    audio, show, tmp_path, monkeypatch
):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    answer = audio(show, "out.flac", "--set", "sound.separate.model=htdemucs")
    assert answer.returncode == 2, answer.stderr
    assert "is not on this machine; fetch it once with: encore models get htdemucs" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list((tmp_path / "empty").iterdir())


def test_a_master_comes_with_its_report_and_its_page(audio, show, tmp_path):
    answer = audio(show, "out.flac", "--set", "sound.loudness.target_lufs=-20")
    assert answer.returncode == 0, answer.stderr
    folder = tmp_path / "empty"
    report = json.loads((folder / "out.flac.report.json").read_text(encoding="utf-8"))
    done = report["done"]["sound"]
    repairs = {repair["name"]: repair for repair in done["repairs"]}
    assert {"dc", "hum"} <= set(repairs)
    assert repairs["hum"]["amount"] == 1
    assert "multiples of 50.0" in repairs["hum"]["did"]
    assert f"sound: hum: {repairs['hum']['did']}" in answer.stderr
    assert done["after"]["integrated_lufs"] == pytest.approx(-20, abs=0.1)
    page = (folder / "out.flac.sound.html").read_text(encoding="utf-8")
    assert "&lt;show&gt; &amp; more.wav" in page
    assert "<script" not in page
    out, rate = soundfile.read(folder / "out.flac")
    assert (len(out), rate) == (10 * RATE, RATE)
    assert abs(out.mean()) < 1e-3


def test_what_is_told_to_do_nothing_gives_the_very_samples(audio, show, tmp_path):
    off = ("clip", "clicks", "polarity", "azimuth", "dc", "hum", "hiss")
    sets = [part for name in off for part in ("--set", f"sound.repair.{name}=0")]
    sets += ["--set", "sound.loudness.target_lufs=none"]
    answer = audio(show, "out.wav", *sets)
    assert answer.returncode == 0, answer.stderr
    out, _ = soundfile.read(tmp_path / "empty/out.wav")
    assert np.array_equal(out, soundfile.read(show)[0])
    page = (tmp_path / "empty/out.wav.sound.html").read_text(encoding="utf-8")
    assert "Nothing was repaired." in page


def test_what_is_there_is_kept_unless_told_otherwise(audio, show, tmp_path):
    (tmp_path / "empty/out.flac").write_text("the last good master")
    answer = audio(show, "out.flac")
    assert answer.returncode == 2
    assert "give --overwrite" in answer.stderr
    assert os.listdir(tmp_path / "empty") == ["out.flac"]
    assert (tmp_path / "empty/out.flac").read_text() == "the last good master"


def test_a_level_of_a_stem_that_the_model_does_not_have_is_refused(audio, show, tmp_path):
    torch = pytest.importorskip("torch")
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    sizes = {"sources": ["drums", "bass", "other", "vocals"], "channels": 4, "nfft": 1024}
    sizes |= {"dconv_comp": 4, "t_layers": 1, "t_heads": 2, "segment": 1.0}
    facts = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(sizes)}
    model = tmp_path / "tiny.safetensors"
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        save_file(HTDemucs(**sizes).state_dict(), str(model), facts)
    sets = ("--set", f"sound.separate.model={model}", "--set", "sound.mix.guitar_db=3")
    answer = audio(show, "out.flac", *sets)
    assert answer.returncode == 2, answer.stderr
    assert "has no such stem; it has drums, bass, other, vocals, residual" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list((tmp_path / "empty").iterdir())
