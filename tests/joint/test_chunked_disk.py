"""How much disk a job wants: extrapolated, and said with figures before it is full."""

import shutil
from types import SimpleNamespace

import pytest

from encore.chunked.disk import Forecast

MB = 1_000_000


@pytest.fixture
def disk(monkeypatch):
    """A disk whose free bytes the test sets."""
    told = SimpleNamespace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=told.free))
    return told


@pytest.fixture
def forecast(tmp_path, disk):
    return Forecast(tmp_path, tmp_path, frames=1000, reserve_bytes=100 * MB)


def test_nothing_is_forecast_before_the_first_chunk(forecast, disk):
    assert forecast.whole is None
    assert forecast.taken == 0
    assert forecast.short() == ""


def test_the_whole_is_extrapolated_from_frames_and_not_from_chunks(forecast):
    forecast.add(100, 10 * MB)
    assert forecast.whole == 100 * MB
    forecast.add(50, 20 * MB)
    assert forecast.whole == 200 * MB
    assert forecast.taken == 30 * MB


def test_the_forecast_of_all_chunks_is_what_they_took(forecast):
    for _ in range(10):
        forecast.add(100, 7 * MB)
    assert forecast.whole == forecast.taken == 70 * MB


def test_a_disk_with_the_reserve_free_lets_the_first_chunk_begin(forecast, disk):
    disk.free = 100 * MB
    assert forecast.must_wait(100, 0) == ""
    disk.free -= 1
    assert forecast.must_wait(100, 0) != ""


def test_a_chunk_waits_where_it_would_leave_less_than_the_reserve(forecast, disk):
    forecast.add(100, 10 * MB)
    # A tenth is held back for what an encoder has in hand: 11 MB for these 100 frames.
    disk.free = 111 * MB
    assert forecast.must_wait(100, 0) == ""
    disk.free = 110 * MB
    assert forecast.must_wait(100, 0) != ""


def test_chunks_under_way_are_counted_before_they_are_written(forecast, disk):
    forecast.add(100, 10 * MB)
    disk.free = 121 * MB
    assert forecast.must_wait(100, 0) == ""
    assert forecast.must_wait(100, 100) != ""


def test_the_reason_to_wait_names_the_disk_and_both_figures(forecast, disk, tmp_path):
    forecast.add(100, 10 * MB)
    disk.free = 42 * MB
    said = forecast.must_wait(200, 0)
    assert str(tmp_path) in said
    assert "42.0 MB free" in said
    assert "122 MB are wanted" in said


def test_what_is_short_is_told_with_figures(forecast, disk, tmp_path):
    forecast.add(100, 10 * MB)
    # 90 MB of chunks to come and 100 MB of finished file, a tenth more of each, and the reserve.
    disk.free = 309 * MB
    assert forecast.short() == ""
    disk.free = 308 * MB
    assert str(tmp_path) in forecast.short()
    assert "309 MB" in forecast.short()
    assert "308 MB" in forecast.short()


def test_sound_and_subtitles_of_the_finished_file_are_counted(tmp_path, disk):
    forecast = Forecast(tmp_path, tmp_path, 1000, 100 * MB, beside_bytes=50 * MB)
    forecast.add(100, 10 * MB)
    disk.free = 360 * MB
    assert "364 MB" in forecast.short()


def test_a_finished_file_on_another_disk_is_counted_there(tmp_path, monkeypatch):
    work, output = tmp_path / "work", tmp_path / "output"
    work.mkdir()
    output.mkdir()
    free = {work: 250 * MB, output: 109 * MB}
    devices = {work: 1, output: 2}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free[path]))
    monkeypatch.setattr(type(work), "stat", lambda path, **_: SimpleNamespace(st_dev=devices[path]))
    forecast = Forecast(work, output, 1000, 100 * MB)
    forecast.add(100, 10 * MB)
    assert "110 MB" in forecast.short()
    assert str(output) in forecast.short()
    free[output] = 110 * MB
    assert forecast.short() == ""
    free[work] = 190 * MB
    assert str(work) in forecast.short()


def test_the_free_bytes_are_those_of_the_work_folder(tmp_path):
    assert Forecast(tmp_path, tmp_path, 1, 0).free == pytest.approx(
        shutil.disk_usage(tmp_path).free, rel=0.1
    )
