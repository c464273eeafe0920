"""Separation as a stream: demucs's own result, at any rate, of any channels, in flat memory."""

import json
import os
import subprocess
import sys
import warnings

import huggingface_hub
import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.demucs import Demucs
from demucs.htdemucs import HTDemucs
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from encoreaudio import weights
from encoreaudio.error import SoundError
from encoreaudio.separate import Level, LevelFinder, Separator, separated_channels, torch_device
from encoreaudio.weights import fetch, load_model, names

RATE = 44100
PAIR = ("FL", "FR")
SOURCES = ["drums", "bass", "other", "vocals"]
TINY = {
    "sources": SOURCES,
    "channels": 8,
    "nfft": 1024,
    "dconv_comp": 4,
    "t_layers": 1,
    "t_heads": 2,
    "segment": 1.0,
}


class Shares(torch.nn.Module):
    """A net that gives each stem a share that depends on where in its segment a sample lies."""

    samplerate, audio_channels, sources, segment = RATE, 2, SOURCES, 0.5

    def __init__(self):
        super().__init__()
        self.shares = torch.nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.25])[:, None, None])
        self.most_at_once = 99

    def forward(self, mix):
        if len(mix) > self.most_at_once:
            raise torch.OutOfMemoryError("too many")
        place = torch.linspace(0.5, 1.0, mix.shape[-1])
        return mix[:, None] * self.shares * place


def noise(frames, channels=2, seed=0):
    return np.random.default_rng(seed).standard_normal((frames, channels)) * 0.1 + 0.01


def tiny(kind=HTDemucs, **changes):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(**(TINY | changes)).eval()


def saved(path, klass="demucs.htdemucs.HTDemucs", state=None, **changes):
    """A file in the layout that demucs 4.1 reads from the hub."""
    facts = {"klass": klass, "args": "[]", "kwargs": json.dumps(TINY | changes)}
    save_file(state or tiny(**changes).state_dict(), str(path), facts)
    return path


def level_of(samples, rate=RATE, speakers=PAIR, size=5000):
    finder = LevelFinder(rate, speakers)
    for at in range(0, len(samples), size):
        finder.add(samples[at : at + size])
    return finder.finish()


def separated(model, samples, rate=RATE, speakers=PAIR, size=7001, level=None):
    separator = Separator(model, rate, speakers, level or level_of(samples, rate, speakers), "cpu")
    parts = [separator.process(samples[at : at + size]) for at in range(0, len(samples), size)]
    return np.concatenate([*parts, separator.flush()])


def whole(model, samples, level):
    """Demucs's own separation of a whole recording."""
    normal = ((samples - level.mean) / (level.deviation + 1e-8)).astype(np.float32)
    mix = torch.from_numpy(np.ascontiguousarray(normal.T))[None]
    stems = apply_model(model, mix, shifts=0, split=True, overlap=0.25)[0]
    return stems.permute(2, 1, 0).numpy().astype(np.float64) * (level.deviation + 1e-8)


def test_level_is_mean_and_deviation_of_the_mono_mix():
    samples = noise(3 * RATE + 17)
    level = level_of(samples)
    mono = samples.mean(axis=1)
    assert level.mean == pytest.approx(mono.mean(), rel=1e-9)
    assert level.deviation == pytest.approx(mono.std(ddof=1), rel=1e-9)
    assert level_of(samples, size=999) == level


@pytest.mark.parametrize("frames", [3 * RATE + 1234, RATE // 10])
def test_stems_of_a_stream_are_those_of_the_whole_recording(frames):
    model, samples = BagOfModels([tiny()]), noise(frames)
    stems = separated(model, samples)
    assert np.array_equal(stems[..., :-1], whole(model, samples, level_of(samples)))


def test_nets_of_unlike_segments_and_weights_are_put_together_as_demucs_does():
    nets = [tiny(), tiny(segment=0.7)]
    model = BagOfModels(nets, [[1.0, 0.0, 0.5, 0.25], [0.0, 1.0, 0.5, 1.0]])
    samples = noise(2 * RATE)
    ours = separated(model, samples)[..., :-1]
    assert np.abs(ours - whole(model, samples, level_of(samples))).max() < 1e-7


def test_a_net_that_looks_beyond_its_segment_finds_what_it_finds_in_the_whole():
    torch.manual_seed(0)
    net = Demucs(SOURCES, channels=4, depth=3, lstm_layers=0, segment=0.5).eval()
    model, samples = BagOfModels([net]), noise(RATE + 999)
    ours = separated(model, samples)[..., :-1]
    assert np.abs(ours - whole(model, samples, level_of(samples))).max() < 1e-7


def test_segments_in_a_batch_give_what_they_give_alone_and_a_full_memory_takes_fewer():
    samples = noise(4 * RATE + 77)
    level = level_of(samples)
    alone = separated(BagOfModels([Shares()]), samples)
    for most in (99, 2, 1):
        net = Shares()
        net.most_at_once = most
        separator = Separator(BagOfModels([net]), RATE, PAIR, level, "cpu")
        separator._nets._nets[0]._at_once = 4
        stems = np.concatenate([separator.process(samples), separator.flush()])
        assert np.abs(stems - alone).max() < 1e-6
    net.most_at_once = 0
    with pytest.raises(SoundError, match="does not fit"):
        separated(BagOfModels([net]), samples)


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_stems_sum_to_the_mix_at_any_rate(rate, channels):
    speakers = {1: ("FC",), 2: PAIR, 6: ("FL", "FR", "FC", "LFE", "BL", "BR")}[channels]
    samples = noise(rate + 13, channels)
    stems = separated(BagOfModels([Shares()]), samples, rate, speakers)
    assert stems.shape == (rate + 13, channels, 5)
    assert np.abs(stems.sum(axis=2) - samples).max() < 1e-15


@pytest.mark.parametrize("rate", [32000, 48000, 96000])
def test_a_stem_comes_back_from_the_nets_rate_unmoved(rate):
    tone = np.sin(2 * np.pi * 997 * np.arange(2 * rate) / rate)[:, np.newaxis].repeat(2, 1)
    net = Shares()
    net.forward = lambda mix: mix[:, None] * net.shares
    stems = separated(BagOfModels([net]), tone, rate)
    middle = slice(rate // 4, -rate // 4)
    assert np.abs(stems[middle, :, 1] - 0.2 * tone[middle]).max() < 1e-5


def test_beside_the_front_pair_everything_is_residual():
    samples = noise(RATE, 4)
    stems = separated(BagOfModels([Shares()]), samples, speakers=("FC", "FR", "LFE", "FL"))
    assert not stems[:, [0, 2], :-1].any()
    assert stems[:, [1, 3], :-1].any()
    assert np.array_equal(stems[:, 0, -1], samples[:, 0])
    assert separated_channels(("FC", "FR", "LFE", "FL")) == [3, 1]


def test_one_channel_is_heard_as_two_equal_ones():
    samples = noise(RATE, 1)
    model = BagOfModels([Shares()])
    one = separated(model, samples, speakers=("FC",))
    two = separated(model, samples.repeat(2, 1))
    assert np.allclose(one[:, 0], two[:, 0], atol=1e-9)


@pytest.mark.parametrize("frames", [0, 1, 4800])
def test_silence_and_the_shortest_streams_come_through(frames):
    for samples in (np.zeros((frames, 2)), noise(frames)):
        stems = separated(BagOfModels([tiny()]), samples, 48000)
        assert stems.shape == (frames, 2, 5)
        assert np.isfinite(stems).all()
        assert np.allclose(stems.sum(axis=2), samples, atol=1e-15)


@settings(max_examples=10, deadline=None)
@given(frames=st.integers(0, 100000), size=st.integers(300, 60000))
def test_any_block_size_gives_the_same_stems(frames, size):
    samples, level = noise(frames, seed=frames), Level(0.01, 0.07)
    model = BagOfModels([Shares()])
    outs = [separated(model, samples, RATE, size=step, level=level) for step in (size, 100001)]
    assert np.array_equal(*outs)
    outs = [separated(model, samples, 48000, size=step, level=level) for step in (size, 100001)]
    assert np.abs(outs[0] - outs[1]).max(initial=0) < 1e-7


def test_no_more_is_held_back_than_the_latency_says():
    separator = Separator(BagOfModels([Shares()]), 48000, PAIR, Level(0.0, 0.1), "cpu")
    given = 0
    for at in range(40):
        given += len(separator.process(noise(4800, seed=at)))
        assert (at + 1) * 4800 - given <= separator.latency


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "mps"])
def test_a_device_that_is_not_here_is_told_in_one_line(device):
    with pytest.raises(SoundError, match=device):
        torch_device(device)


def test_a_file_in_the_hubs_layout_is_loaded(tmp_path):
    model = load_model(saved(tmp_path / "own.safetensors"))
    expected = tiny().state_dict()
    found = model.models[0].state_dict()
    assert list(model.sources) == SOURCES
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_bag_is_loaded_from_its_description(tmp_path):
    for name in ("aa", "bb"):
        saved(tmp_path / f"{name}.safetensors")
    (tmp_path / "both.yaml").write_text("models: [aa, bb]\nsegment: 0.5\n")
    model = load_model(tmp_path / "both.yaml")
    assert len(model.models) == 2
    assert model.models[1].segment == 0.5


@pytest.mark.parametrize("suffix", [".th", ".pth", ".ckpt"])
def test_a_pickle_is_refused(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"")
    with pytest.raises(SoundError, match="pickle"):
        load_model(path)


def test_a_file_cannot_name_what_is_called(tmp_path):
    path = saved(tmp_path / "bad.safetensors", klass="subprocess.Popen")
    with pytest.raises(SoundError, match="not a model in demucs's layout"):
        load_model(path)


def test_damage_is_told(tmp_path):
    path = saved(tmp_path / "own.safetensors")
    path.with_name("own.safetensors.sha256").write_text(f"{'0' * 64}  own.safetensors\n")
    with pytest.raises(SoundError, match="sha256"):
        load_model(path)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SoundError, match="damaged"):
        load_model(cut)
    state = tiny().state_dict()
    state.pop(next(iter(state)))
    with pytest.raises(SoundError, match="do not fit"):
        load_model(saved(tmp_path / "lacking.safetensors", state=state))
    with pytest.raises(SoundError, match="for 1 channels"):
        load_model(saved(tmp_path / "mono.safetensors", audio_channels=1))


def test_a_name_that_is_not_here_is_answered_with_the_command_that_fetches_it(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SoundError, match="encore models get htdemucs_ft"):
        load_model("htdemucs_ft")
    with pytest.raises(SoundError, match="it may be none, hdemucs_mmi, htdemucs"):
        load_model("spleeter")
    assert {"htdemucs", "htdemucs_ft", "htdemucs_6s", "hdemucs_mmi"} <= set(names())


def test_a_fetched_model_is_used_and_a_wrong_one_is_not(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--adefossez--Demucs-hdemucs_mmi"
    revision = "0" * 40
    for folder in ("blobs", "refs", f"snapshots/{revision}"):
        (kept / folder).mkdir(parents=True)
    (kept / "refs/main").write_text(revision)
    file = saved(tmp_path / "any.safetensors")
    digest = subprocess.run(
        ["sha256sum", file], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    blob = kept / "blobs" / digest
    file.rename(blob)
    (kept / f"snapshots/{revision}/75fc33f5.safetensors").symlink_to(f"../../blobs/{digest}")
    assert list(load_model("hdemucs_mmi").sources) == SOURCES
    with blob.open("r+b") as opened:
        opened.seek(-1, 2)
        opened.write(b"!")
    with pytest.raises(SoundError, match="sha256"):
        load_model("hdemucs_mmi")


def test_fetching_says_in_one_line_why_it_failed(monkeypatch):
    def unreachable(url, timeout):
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr(weights, "get_hf_file_metadata", unreachable)
    with pytest.raises(SoundError, match=r"htdemucs could not be fetched .*not known") as caught:
        fetch("htdemucs")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_is_the_same_for_half_a_minute_and_for_three():
    peaks = []
    for seconds in (30, 180):
        done = subprocess.run(
            [sys.executable, "-c", _LONG, str(seconds)],
            capture_output=True,
            text=True,
            check=True,
            cwd=os.path.dirname(__file__),
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 40 * 1024, peaks


_LONG = """
import sys
import numpy as np
import test_separate as t
separator = t.Separator(t.BagOfModels([t.Shares()]), 48000, t.PAIR, t.Level(0.0, 0.1), "cpu")
chance = np.random.default_rng(0)
for _ in range(int(sys.argv[1])):
    separator.process(chance.standard_normal((48000, 2)) * 0.1)
separator.flush()
# Not ru_maxrss: a child begins with its parent's.
print(next(line.split()[1] for line in open("/proc/self/status") if "VmHWM" in line))
"""
