"""What decides the pixels: the same for a moved copy, another for any byte that is looked at."""

import json
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from encore.chunked.identity import content, digest, files_named_in, versions, weight, weights
from encore.preset import Preset

MIB = 1 << 20
PLACES, PLACE_BYTES = 64, 64 << 10
words = some.text("abé演", max_size=3)
facts = some.recursive(
    some.none() | some.booleans() | some.integers() | words,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)


def turned(told):
    """The same data, every mapping in the opposite order."""
    if isinstance(told, dict):
        return {key: turned(told[key]) for key in reversed(told)}
    return [turned(one) for one in told] if isinstance(told, list) else told


@given(facts)
def test_a_digest_does_not_depend_on_the_order_of_keys(told):
    assert digest(told) == digest(turned(told))


@given(facts, facts)
def test_different_facts_have_different_digests(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


def test_a_digest_is_short_and_can_be_a_file_name():
    assert len(digest({"title": "演唱会/\\"})) == 24
    assert digest({"a": 1}).isalnum()


def test_a_digest_is_the_same_tomorrow():
    # printf '{"a": [1, null]}' | sha256sum
    assert digest({"a": (1, None)}) == "937f1a6767d9081f59ffdda2"


def test_a_renamed_and_touched_copy_has_the_same_content(tmp_path):
    one, other = tmp_path / "a.mkv", tmp_path / "b.bin"
    for path in (one, other):
        path.write_bytes(b"concert" * 999)
    os.utime(other, (1, 1))
    assert content([one]) == content([other])


@given(at=some.integers(0, 4095))
def test_any_byte_of_a_small_file_changes_its_content(tmp_path_factory, at):
    path = tmp_path_factory.getbasetemp() / "small.bin"
    whole = bytearray(random.Random(6).randbytes(4096))
    path.write_bytes(whole)
    before = content([path])
    whole[at] ^= 1
    path.write_bytes(whole)
    assert content([path]) != before


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file that is sampled and not read whole; most of it is a hole."""
    path = tmp_path_factory.mktemp("large") / "show.mkv"
    with path.open("wb") as file:
        file.truncate(24 * MIB + 12_345)
    return path, content([path])


@pytest.mark.parametrize("number", [0, 1, 31, 62, 63])
@pytest.mark.parametrize("inside", [0, PLACE_BYTES - 1])
def test_a_byte_at_any_sampled_place_changes_the_content(large, number, inside):
    path, before = large
    last = path.stat().st_size - PLACE_BYTES
    at = round(number * last / (PLACES - 1)) + inside
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\x01")
        file.flush()
        changed = content([path])
        file.seek(at)
        file.write(b"\x00")
    assert changed != before
    assert content([path]) == before


@pytest.mark.parametrize("size", [24 * MIB + 12_344, 24 * MIB + 12_346, 25 * MIB])
def test_another_size_of_the_same_zeros_is_another_content(large, tmp_path, size):
    path = tmp_path / "other.mkv"
    with path.open("wb") as file:
        file.truncate(size)
    assert content([path]) != large[1]


def test_several_files_count_in_their_order(tmp_path):
    one, other = tmp_path / "1.vob", tmp_path / "2.vob"
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    assert content([one, other]) != content([other, one])
    assert content([one, other])["bytes"] == 8


def test_only_files_that_are_there_are_named_by_a_script(tmp_path):
    here = tmp_path / "show.mkv"
    here.write_bytes(b"x")
    script = f"""
source = {str(here)!r}
gone = {str(tmp_path / "gone.mkv")!r}
folder = {str(tmp_path)!r}
odd = "nul\\0byte", "{"long" * 2000}", ""
# {tmp_path / "comment.mkv"}
"""
    assert files_named_in(script) == [here]


@pytest.mark.parametrize("script", ["clip = (", "nul\0byte", "  indented\nwrongly"])
def test_a_script_that_is_none_names_nothing(script):
    assert files_named_in(script) == []


@pytest.mark.parametrize("part", ["picture", "sound"])
def test_versions_are_plain_data_and_name_what_counts(part):
    told = dict(versions(part))
    assert json.loads(json.dumps(told)) == told
    assert told["ffmpeg"].startswith("ffmpeg version")
    ours = {"picture": "vsencore", "sound": "encoreaudio"}[part]
    assert {"numpy", "torch", ours} <= set(told)
    assert all(told.values())


def test_plugins_decide_the_picture_and_not_the_sound():
    assert "vapoursynth-bwdif" in versions("picture")
    assert not any(name.startswith("vapoursynth") for name in versions("sound"))


def test_weights_are_plain_data_and_those_of_a_file_follow_its_content(tmp_path):
    model = tmp_path / "mine.safetensors"
    model.write_bytes(b"weights")
    preset = Preset.model_validate({"picture": {"restore": {"model": str(model)}}})
    told = weights(preset, "picture")
    assert json.loads(json.dumps(told)) == told
    assert list(told) == [str(model)]
    assert told[str(model)] == digest(content([model]))


def test_a_model_that_is_not_here_has_no_digest():
    assert weight("") == weight("nowhere.safetensors") == weight("no-such-model") == ""
