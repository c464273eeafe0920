"""The plan of a picture: what names its chunks, and what is said of a plan that is another now."""

import io
import json
from dataclasses import asdict
from fractions import Fraction

import pytest

from encore.chunked import picture
from encore.chunked.crew import gpus_of
from encore.chunked.ledger import Record
from encore.chunked.picture import check, chunk_length, plan, tell_changes, wanted_borders
from encore.encode import Clip
from encore.errors import JobError
from encore.preset import Encode, Job
from encore.progress import reporter

CLIP = Clip(720, 576, 1000, Fraction(25), "YUV420P10", 5, 5, 5, False, 0, Fraction(1))
DECIDES = {
    "source": {"bytes": 5, "sampled": "00"},
    "script": "clip.set_output()",
    "weights": {"base": "0f"},
    "versions": {"torch": "2", "vsencore": "ab"},
}
SETTINGS = {"encode.crf": 17.0, "picture.restore.strength": 0.5}


@pytest.fixture
def planned(tmp_path):
    """Plans in one work folder; anything else than usual where asked."""

    (tmp_path / "picture.vpy").write_text("clip.set_output()")

    def make(*, settings=None, job=None, clip=CLIP, device="auto", cuts=(), chapters=(), **decides):
        return plan(
            tmp_path / "picture.vpy",
            clip,
            settings or Encode(),
            job or Job(chunk_s=10),
            work=tmp_path,
            decides=DECIDES | decides,
            cuts=cuts,
            chapters=chapters,
            device=device,
        )

    return make


def keys(one):
    return [task.key for task in one.tasks]


def finish(one, numbers, size=10):
    for task in one.tasks:
        if task.number in numbers:
            partial = one.ledger.partial(task.key, "test")
            partial.write_bytes(bytes(size))
            one.ledger.commit(partial, Record(task.key, task.frames, size, "00", 1.0, "x", "y"))


def told(one, work, settings=SETTINGS):
    out = io.StringIO()
    tell_changes(one, work, settings, reporter("plain", out))
    return out.getvalue().splitlines()


def test_the_tasks_hold_every_frame_and_are_named_apart(planned):
    tasks = planned().tasks
    assert [(task.number, task.first, task.last) for task in tasks] == [
        (0, 0, 250), (1, 250, 500), (2, 500, 750), (3, 750, 1000)
    ]  # fmt: skip
    assert len(set(keys(planned()))) == 4


def test_a_task_is_plain_data(planned):
    (task, *_) = planned().tasks
    assert json.loads(json.dumps(asdict(task)))["clip"]["rate"] == "25/1"


def test_the_same_plan_has_the_same_names_wherever_it_is_worked_off(planned, tmp_path):
    assert keys(planned()) == keys(planned(device="cuda:1"))
    patient = Job(chunk_s=10, retries=9, stall_s=5, disk_reserve_mib=1, keep_chunks=True)
    assert keys(planned()) == keys(planned(job=patient))


@pytest.mark.parametrize(
    "other",
    [
        {"source": {"bytes": 5, "sampled": "01"}},
        {"script": "clip.set_output(0)"},
        {"weights": {"base": "0e"}},
        {"versions": {"torch": "2", "vsencore": "ac"}},
        {"settings": Encode(crf=18)},
        {"settings": Encode(codec="x264")},
        {"clip": Clip(720, 576, 1000, Fraction(25), "YUV420P10", 1, 1, 1, False, 0, Fraction(1))},
    ],
)
def test_all_that_decides_the_pixels_decides_the_names(planned, other):
    assert not set(keys(planned())) & set(keys(planned(**other)))


def test_a_moved_border_renames_only_the_chunks_beside_it(planned):
    one, other = keys(planned()), keys(planned(cuts=[505]))
    assert [a == b for a, b in zip(one, other, strict=True)] == [True, False, False, True]


def test_a_chapter_inside_a_chunk_renames_that_chunk_alone(planned):
    one, other = keys(planned()), keys(planned(chapters=[5]))
    assert [a == b for a, b in zip(one, other, strict=True)] == [False, True, True, True]


def test_finished_chunks_are_counted(planned):
    assert planned().finished == 0
    finish(planned(), {0, 2})
    assert planned().finished == 2


def test_chunks_are_sized_in_seconds_of_the_show():
    assert chunk_length(Job(chunk_s=60), Fraction(30000, 1001)) == 1798
    assert wanted_borders(CLIP, Job(chunk_s=20), []) == [500]


def test_the_first_run_says_nothing_and_writes_the_plan(planned, tmp_path):
    one = planned()
    assert told(one, tmp_path) == []
    written = json.loads((tmp_path / "plan.json").read_text())
    assert [chunk["key"] for chunk in written["chunks"]] == keys(one)
    assert written["settings"] == SETTINGS


def test_the_same_run_again_says_only_what_is_finished(planned, tmp_path):
    told(planned(), tmp_path)
    finish(planned(), {0, 1, 2})
    assert told(planned(), tmp_path) == ["3 of 4 chunks are finished and kept"]


def test_a_changed_setting_is_told_with_both_values(planned, tmp_path):
    told(planned(), tmp_path)
    (said,) = told(planned(settings=Encode(crf=20)), tmp_path, SETTINGS | {"encode.crf": 20.0})
    assert said == "changed since the last run: encode.crf 17.0 -> 20.0"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": {"bytes": 6}}, "the source"),
        ({"weights": {"base": "0e"}}, "a model's weights"),
        ({"versions": {"torch": "3"}}, "the programs"),
        ({"script": "other"}, "the script"),
    ],
)
def test_what_else_changed_is_told_by_name(planned, tmp_path, change, said):
    told(planned(), tmp_path)
    assert told(planned(**change), tmp_path) == [f"changed since the last run: {said}"]


def test_many_changes_are_one_line(planned, tmp_path):
    told(planned(), tmp_path, {f"a.{n}": 0 for n in range(10)})
    (said,) = told(planned(), tmp_path, {f"a.{n}": 1 for n in range(10)})
    assert said.endswith("a.5 0 -> 1 and 4 more")


def test_going_back_finds_the_old_chunks_again(planned, tmp_path):
    told(planned(), tmp_path)
    finish(planned(), {0, 1, 2, 3})
    other = planned(settings=Encode(crf=20))
    assert other.finished == 0
    told(other, tmp_path, SETTINGS | {"encode.crf": 20.0})
    assert told(planned(), tmp_path)[-1] == "4 of 4 chunks are finished and kept"


def test_large_chunks_of_other_settings_are_told(planned, tmp_path):
    told(planned(), tmp_path)
    finish(planned(), {0, 1}, size=2 << 20)
    said = told(planned(settings=Encode(crf=20)), tmp_path)
    assert said[-1].startswith("4.2 MB of chunks of other settings lie in")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"old": 1}'])
def test_a_plan_that_cannot_be_read_is_as_none(planned, tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    finish(planned(), {0})
    assert told(planned(), tmp_path) == []
    assert told(planned(), tmp_path) == ["1 of 4 chunks are finished and kept"]


def test_chunks_of_two_kinds_of_machines_are_told():
    out = io.StringIO()
    records = [Record("a", 1, 1, "", 1.0, "x", kind) for kind in ("AVX2", "AVX512", "AVX2")]
    picture._tell_arithmetic(records[::2], reporter("plain", out))
    assert out.getvalue() == ""
    picture._tell_arithmetic(records, reporter("plain", out))
    assert "AVX2 and by AVX512" in out.getvalue()


def test_a_named_device_is_the_only_one():
    assert gpus_of("cpu") == gpus_of("cuda:1") == []


def test_chunks_that_a_disk_damaged_are_named_and_forgotten(planned, monkeypatch):
    one = planned()
    finish(one, range(len(one.tasks)))
    records = [one.ledger.finished(task.key) for task in one.tasks]
    good = {one.ledger.path(task.key) for task in one.tasks if task.number != 1}
    monkeypatch.setattr(picture, "packets_of", lambda path, *a: "00" if path in good else "ff")
    with pytest.raises(JobError, match="damaged: chunk 1; the same command"):
        check(one, records)
    assert [one.ledger.finished(task.key) is not None for task in one.tasks][:3] == [
        True, False, True,
    ]  # fmt: skip
