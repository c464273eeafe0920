"""What is no model, or no safe one, is refused in one line, and nothing of it runs."""

import contextlib
import io
import os
import pickle
import struct
import zipfile

import pytest
import randoms
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from vsencore import zoo
from vsencore.zoo import weights


class Trap:
    """Unpickled carelessly, this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def refusal(path):
    with pytest.raises(zoo.ZooError) as caught:
        zoo.find(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path, zipped, suffix):
    state = randoms.compact_network(2, 8, 2).state_dict()
    path, sprung = tmp_path / f"trap{suffix}", tmp_path / "sprung"
    torch.save({**state, "extra": Trap(sprung)}, path, _use_new_zipfile_serialization=zipped)
    line = refusal(path)
    assert "more than weights" in line
    assert "mkdir" in line
    assert not sprung.exists()


def test_the_trap_of_these_tests_springs_where_nobody_guards(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_plain_pickle_is_refused_and_does_not_run(tmp_path):
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refusal(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_a_whole_network_pickled_is_refused(tmp_path):
    torch.save(torch.nn.Conv2d(1, 1, 3), tmp_path / "network.pth")
    assert "use a .safetensors file" in refusal(tmp_path / "network.pth")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_torchscript_program_is_refused(tmp_path):
    module = torch.jit.trace(torch.nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 4, 4))
    module.save(str(tmp_path / "program.pt"))
    assert "TorchScript" in refusal(tmp_path / "program.pt")


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1 << 20)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    assert "unpacks to more" in refusal(tmp_path / "bomb.pth")


def test_a_tensor_that_would_be_larger_than_its_file_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1).expand(1 << 40)}, tmp_path / "wide.pth")
    assert "GiB" in refusal(tmp_path / "wide.pth")


def test_a_file_over_the_bound_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "huge.safetensors").open("wb") as file:
        file.truncate(weights.LARGEST_BYTES + 1)  # sparse: it takes no room
    assert "too large" in refusal(tmp_path / "huge.safetensors")


def test_a_header_over_the_bound_is_refused(tmp_path):
    header = struct.pack("<Q", 1 << 40) + b"{}"
    (tmp_path / "header.safetensors").write_bytes(header)
    assert "no model" in refusal(tmp_path / "header.safetensors")


def test_a_layer_whose_number_would_make_a_million_others_is_refused(tmp_path):
    state = randoms.compact_network(2, 8, 2).state_dict()
    save_file({**state, "body.1000000.weight": torch.zeros(1)}, tmp_path / "deep.safetensors")
    assert "body.1000000.weight" in refusal(tmp_path / "deep.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("empty.safetensors", b"", "is empty"),
        ("text.safetensors", b"this is a letter, not a model", "no model"),
        ("page.pth", b"<!DOCTYPE html><html>", "no model"),
        ("zip.pth", b"PK\x03\x04 and no more", "damaged"),
        ("pickle.pth", b"\x80\x02 and no more", "damaged"),
    ],
)
def test_a_file_that_is_no_model_says_so(tmp_path, name, content, hint):
    (tmp_path / name).write_bytes(content)
    assert hint in refusal(tmp_path / name)


def test_what_is_missing_or_a_folder_says_so(tmp_path):
    assert "no such file" in refusal(tmp_path / "nothing.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    assert "no file" in refusal(tmp_path / "folder.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_a_file_that_is_cut_short_says_so(tmp_path, suffix, kept):
    whole = io.BytesIO()
    if suffix == ".pth":
        torch.save(randoms.compact_network(2, 8, 2).state_dict(), whole)
        content = whole.getvalue()
    else:
        content = randoms.compact(tmp_path / "whole.safetensors", 2, 8, 2).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: int(kept * len(content))])
    assert "cut short" in refusal(path)


def test_tensors_of_no_known_architecture_say_so(tmp_path):
    save_file({"secret.weight": torch.zeros(3, 3)}, tmp_path / "odd.safetensors")
    assert "architecture" in refusal(tmp_path / "odd.safetensors")


def test_weights_that_do_not_fit_their_network_say_so(tmp_path):
    state = randoms.compact_network(2, 8, 2).state_dict()
    state["body.2.weight"] = torch.zeros(8, 5, 3, 3)
    save_file(state, tmp_path / "misfit.safetensors")
    assert "do not fit" in refusal(tmp_path / "misfit.safetensors")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), old=st.booleans())
def test_a_damaged_file_is_refused_or_read_and_never_more(tmp_path, place, value, old):
    held = io.BytesIO()
    state = {"a.weight": torch.zeros(2, 2), "a.bias": torch.zeros(2)}
    torch.save(state, held, _use_new_zipfile_serialization=not old)
    content = bytearray(held.getvalue())
    content[int(place * len(content))] = value
    path = tmp_path / "struck.pth"
    path.write_bytes(content)
    with contextlib.suppress(zoo.ZooError):  # any other error is a fault
        weights.read(path)
