"""`encore models`: downloads that break, lie, stall and go on; models added, listed and checked."""

import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import typer
from spandrel.architectures.Compact import Compact

from encore import cli
from encore.models import models
from vsencore import zoo
from vsencore.zoo import fetch, library, registry

REAL_YUNET = Path(__file__).parents[3] / "shared/data/peers/yunet_n_dynamic.onnx"
CONTENT = bytes(range(256)) * 2000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A user's folder of models that is not the user's; and a folder to stand in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "models"


@pytest.fixture
def encore(capsys, monkeypatch):
    """`encore models ...`, run in this process."""
    app = typer.Typer()
    app.add_typer(models, name="models")
    app.command("nothing")(lambda: None)
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["encore", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=left.value.code, out=said.out, err=said.err)

    return run


class Server(ThreadingHTTPServer):
    """Serves one file as badly as a test wants, and remembers what it was asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.status = 200
        self.breaks_after = []  # bytes sent before the connection is cut, one for each request
        self.stalls = False
        self.resumes = True
        self.redirect = None
        self.ranges = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/model"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server
        asked = self.headers.get("Range")
        site.ranges.append(asked)
        if site.redirect:
            self.send_response(302)
            self.send_header("Location", site.redirect)
            self.end_headers()
            return
        start = int(asked.split("=")[1].rstrip("-")) if asked and site.resumes else 0
        body = site.content[start:]
        self.send_response(206 if start and site.status == 200 else site.status)
        if start:
            total = len(site.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if site.breaks_after:
            body = body[: site.breaks_after.pop(0)]
        self.wfile.write(body)
        self.wfile.flush()
        if site.stalls:
            time.sleep(1.5)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    site = Server()
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.shutdown()
    thread.join()
    site.server_close()


@pytest.fixture
def published(server, monkeypatch):
    """Put a file on the server and into the registry."""

    def publish(content=CONTENT, kind="onnx", **facts):
        server.content = content
        known = {
            "about": "of these tests",
            "kind": kind,
            "purpose": "face",
            "url": server.url,
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "licence": "MIT",
            "credit": "nobody",
        }
        entry = registry.Entry("thing", **{**known, **facts})
        for module in (fetch, library, registry):
            monkeypatch.setattr(module, "entries", lambda: {"thing": entry})
        return entry

    return publish


def get(name="thing", **options):
    return fetch.get(name, loopback=True, timeout_s=0.5, **options)


def compact(path, scale=2):
    torch.manual_seed(0)
    network = Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=scale)
    torch.save({"params": network.state_dict()}, path)
    return path


def test_a_model_is_fetched_whole_and_nothing_else_is_left(published, folder):
    published()
    told = []
    model = get(progress=lambda done, total: told.append((done, total)))
    assert model.path.read_bytes() == CONTENT
    assert sorted(path.name for path in folder.iterdir()) == ["thing.json", "thing.onnx"]
    assert told[0][0] == 0
    assert told[-1] == (0.512, 0.512)
    assert zoo.located("thing") == model.path


def test_a_model_that_is_here_is_not_fetched_again(published, server):
    published()
    get()
    get()
    assert len(server.ranges) == 1


def test_a_model_that_was_damaged_is_fetched_again(published, server):
    published()
    get().path.write_bytes(b"dust")
    assert get().path.read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_where_it_broke(published, server):
    published()
    server.breaks_after = [100_000, 200_000]
    assert get().path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=300000-"]


def test_a_later_run_goes_on_from_what_came_before(published, server, folder):
    published()
    folder.mkdir()
    (folder / "thing.part").write_bytes(CONTENT[:123_456])
    assert get().path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=123456-"]


def test_a_server_that_cannot_resume_sends_it_all_again(published, server, folder):
    published()
    server.resumes = False
    folder.mkdir()
    (folder / "thing.part").write_bytes(CONTENT[:123_456])
    assert get().path.read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", [b"another file's beginning", CONTENT + b"more", b"x" * 512_000])
def test_a_beginning_that_was_wrong_costs_a_second_download_and_no_more(published, folder, wrong):
    published()
    folder.mkdir()
    (folder / "thing.part").write_bytes(wrong)
    assert get().path.read_bytes() == CONTENT


def test_a_file_with_another_sha256_is_not_kept(published, server, folder):
    published()
    server.content = CONTENT[:-1] + b"\0"
    with pytest.raises(zoo.NotDoneError, match="wrong sha256"):
        get()
    assert not (folder / "thing.onnx").exists()
    assert (folder / "thing.part").stat().st_size == 0


def test_a_file_that_is_larger_is_not_kept(published, server, folder):
    published()
    server.content = CONTENT + b"more"
    with pytest.raises(zoo.NotDoneError, match="holds more than 512000 bytes"):
        get()
    assert not (folder / "thing.onnx").exists()


def test_a_file_that_stays_too_short_is_said_to_be_and_kept_for_later(published, server, folder):
    published()
    server.content = CONTENT[:1000]
    with pytest.raises(zoo.NotDoneError, match="ended after 1000 of 512000 bytes"):
        get()
    assert (folder / "thing.part").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize(("status", "hint"), [(404, "404"), (503, "503")])
def test_a_server_that_refuses_is_quoted(published, server, status, hint):
    published()
    server.status = status
    with pytest.raises(zoo.NotDoneError, match=f"the server answered {hint}"):
        get()


def test_a_server_that_falls_silent_is_left_and_the_rest_is_had_later(published, server, folder):
    published()
    server.stalls = True
    server.breaks_after = [1000, 0]
    with pytest.raises(zoo.NotDoneError, match="silent"):
        get()
    assert (folder / "thing.part").read_bytes() == CONTENT[:1000]
    server.stalls = False
    assert get().path.read_bytes() == CONTENT


def test_nothing_there_says_the_address_and_where_to_put_the_file(published, server, folder):
    published(url="http://127.0.0.1:9/model")
    with pytest.raises(zoo.NotDoneError) as caught:
        get()
    line = str(caught.value)
    assert "http://127.0.0.1:9/model" in line
    assert "encore models add FILE --name thing" in line
    assert str(folder) in line


@pytest.mark.parametrize("url", ["http://example.org/model", "file:///etc/passwd", "ftp://a/b"])
def test_only_https_is_fetched(published, url):
    published(url=url)
    with pytest.raises(zoo.NotDoneError, match="https only"):
        get()


def test_plain_http_to_this_machine_is_for_tests_alone(published, server):
    published()
    with pytest.raises(zoo.NotDoneError, match="https only"):
        fetch.get("thing")
    assert server.ranges == []


def test_a_redirect_to_something_else_than_https_is_not_followed(published, server):
    published()
    server.redirect = "file:///etc/passwd"
    with pytest.raises(zoo.NotDoneError):
        get()
    server.redirect = "http://example.org/model"
    with pytest.raises(zoo.NotDoneError, match="https only"):
        get()


def test_redirects_that_go_round_end(published, server):
    published()
    server.redirect = "/model"
    with pytest.raises(zoo.NotDoneError):
        get()
    assert len(server.ranges) <= 7


@pytest.mark.skipif(sys.platform == "win32", reason="no flock there")
def test_two_that_fetch_one_model_do_not_write_into_each_other(published, folder):
    published()
    folder.mkdir()
    with (
        (folder / "thing.part").open("a+b") as file,
        fetch._alone(file, "thing"),
        pytest.raises(zoo.NotDoneError, match="another process"),
    ):
        get()


def test_pickled_weights_that_are_fetched_are_kept_as_safetensors(published, tmp_path, folder):
    content = compact(tmp_path / "m.pth").read_bytes()
    published(content, kind="torch", purpose="sr", scale=2)
    get()
    assert sorted(path.name for path in folder.iterdir()) == ["thing.json", "thing.safetensors"]
    model = zoo.find("thing")
    assert (model.architecture, model.licence, model.credit) == ("Compact", "MIT", "nobody")


def test_every_address_of_the_registry_is_https_and_pinned_by_size_and_sha256():
    for entry in registry.entries().values():
        assert entry.url.startswith("https://")
        assert entry.size_bytes > 0
        assert len(bytes.fromhex(entry.sha256)) == 32


@pytest.mark.skipif(not REAL_YUNET.exists(), reason="needs the data beside the checkout")
def test_the_registry_knows_the_real_yunet(encore):
    answer = encore("add", REAL_YUNET)
    assert answer.code == 0, answer.err
    assert zoo.located("yunet").read_bytes() == REAL_YUNET.read_bytes()


def test_a_pth_is_added_as_safetensors_with_the_same_numbers(encore, tmp_path, folder):
    source = compact(tmp_path / "My model (2x).pth")
    assert encore("add", source).code == 0
    model = zoo.find("My-model-2x-")
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors"]
    picture = torch.rand(1, 3, 9, 7)
    with torch.inference_mode():
        assert torch.equal(model.build()(picture), zoo.find(source).build()(picture))


def test_a_safetensors_file_is_added_byte_for_byte(encore, tmp_path):
    encore("add", compact(tmp_path / "first.pth"))
    whole = zoo.find("first").path
    assert encore("add", whole, "--name", "second").code == 0
    assert zoo.find("second").sha256 == zoo.find("first").sha256


def test_the_same_file_may_be_added_twice_and_another_may_not_take_its_name(encore, tmp_path):
    assert encore("add", compact(tmp_path / "m.pth"), "--name", "m").code == 0
    assert encore("add", tmp_path / "m.pth", "--name", "m").code == 0
    answer = encore("add", compact(tmp_path / "n.pth", 4), "--name", "m")
    assert answer.code == 2
    assert "another model of this name" in answer.err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["add", "nowhere.pth"], "no such file"),
        (["add", "letter.pth"], "no model"),
        (["add", "m.pth", "--name", "../up"], "no name for a model"),
        (["add", "m.pth", "--name", "yunet"], "not the file of that name"),
        (["get", "nothing"], "there are: yunet"),
        (["check", "nothing"], "no model named"),
        (["check", "yunet"], "encore models get yunet"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    encore, tmp_path, monkeypatch, arguments, hint
):
    monkeypatch.chdir(tmp_path)
    compact(tmp_path / "m.pth")
    (tmp_path / "letter.pth").write_text("dear all")
    answer = encore(*arguments)
    assert answer.code == 2, answer.err
    assert hint in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_a_download_that_fails_is_one_line_and_exit_code_1(encore, published):
    published(url="https://127.0.0.1:9/model")
    answer = encore("get", "thing")
    assert answer.code == 1
    assert "https://127.0.0.1:9/model" in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_exit_code_1(encore, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path / "file" / "models"))
    answer = encore("add", compact(tmp_path / "m.pth"))
    assert answer.code == 1
    assert "cannot be written" in answer.err


def test_the_list_tells_what_is_here_and_what_can_be_had(encore, tmp_path, folder):
    encore("add", compact(tmp_path / "m.pth"), "--name", "mine")
    (folder / "dropped.safetensors").write_bytes((folder / "mine.safetensors").read_bytes())
    lines = {line.split()[0]: line for line in encore("list").out.splitlines()}
    assert lines["mine"].split()[1:3] == ["sr", "x2"]
    assert str(folder / "mine.safetensors") in lines["mine"]
    assert "not stated" in lines["dropped"]
    assert lines["yunet"].endswith("encore models get yunet")
    assert "look at faces" in lines["yunet"]
    assert "restore faces" in lines["gfpgan"]


def test_a_check_runs_every_model_and_finds_what_was_changed(encore, tmp_path, folder):
    encore("add", compact(tmp_path / "m.pth"), "--name", "sound")
    encore("add", compact(tmp_path / "m.pth"), "--name", "struck")
    answer = encore("check")
    assert answer.code == 0
    assert answer.out.count("it loads and runs (x2, Compact)") == 2
    content = bytearray((folder / "struck.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "struck.safetensors").write_bytes(content)
    answer = encore("check")
    assert answer.code == 1
    assert "struck: WRONG" in answer.out
    assert "sound: size and sha256 are right" in answer.out
    assert encore("check", "sound").code == 0
    with pytest.raises(zoo.ZooError, match="changed"):
        zoo.find("struck")


def test_a_damaged_record_is_told_and_spoils_no_other_model(encore, tmp_path, folder):
    encore("add", compact(tmp_path / "m.pth"), "--name", "sound")
    encore("add", compact(tmp_path / "m.pth"), "--name", "struck")
    (folder / "struck.json").write_text('{"size')
    assert "damaged" in encore("list").out
    answer = encore("check")
    assert answer.code == 1
    assert "sound: size and sha256 are right" in answer.out
    assert zoo.find("sound").scale == 2


def test_a_model_whose_numbers_are_none_is_found_by_a_check(encore, tmp_path, folder):
    network = Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=2)
    network.body[0].weight.data.fill_(torch.nan)
    torch.save(network.state_dict(), tmp_path / "nan.pth")
    encore("add", tmp_path / "nan.pth")
    answer = encore("check", "nan")
    assert answer.code == 1
    assert "no number" in answer.out


def test_a_record_says_where_a_model_came_from(encore, tmp_path, folder):
    source = compact(tmp_path / "m.pth")
    encore("add", source)
    record = json.loads((folder / "m.json").read_text())
    assert record["made_from_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    kept = (folder / "m.safetensors").read_bytes()
    assert (record["sha256"], record["size_bytes"]) == (hashlib.sha256(kept).hexdigest(), len(kept))
    assert record["receptive_field_px"] == zoo.find(source).receptive_field_px == 4
