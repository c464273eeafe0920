"""The doctor looks at all that a remaster needs, says cures, and never falls over itself."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from encore import doctor
from encore.cache import cache_dir
from encore.doctor import Finding


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.examine()}


def test_this_very_environment_is_found_well(findings: dict[str, Finding]) -> None:
    wrong = [finding for finding in findings.values() if finding.ok is False]
    assert wrong == []


def test_everything_a_remaster_needs_is_looked_at(findings: dict[str, Finding]) -> None:
    plugins = ["bs", "mvu", "znedi3", "bwdif", "zsmooth", "vszip", "akarin", "resize2", "vivtc"]
    others = ["Python", "VapourSynth", "QTempGaussMC", "vspipe", "torch", "CUDA", "FFmpeg"]
    others += ["encoders", "HEVC Main10", "disk here", "disk for work", "memory", "cache"]
    assert {f"plugin {name}" for name in plugins} | set(others) == set(findings)


def test_what_is_missing_has_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("vapoursynth", "vsdeinterlace", "torch", "imageio_ffmpeg", "psutil"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    for loaded in ("encore.ffmpeg",):
        monkeypatch.delitem(sys.modules, loaded, raising=False)
    wrong = [finding for finding in doctor.examine() if finding.ok is False]
    named = {finding.name for finding in wrong}
    assert {"VapourSynth", "plugin mvu", "QTempGaussMC", "torch", "FFmpeg"} <= named
    assert all(finding.cure and finding.found for finding in wrong)


def test_an_encoder_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    poor = tmp_path / "ffmpeg"
    poor.write_text("#!/bin/sh\necho ' V....D libx264 H.264'\n")
    poor.chmod(0o755)
    monkeypatch.setattr(doctor, "_program", lambda: str(poor))
    found = {finding.name: finding for finding in doctor._encoders()}
    assert found["encoders"].ok is False
    assert "libx265" in found["encoders"].found
    assert "libx264" not in found["encoders"].found


def test_an_unwritable_cache_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("ENCORE_CACHE", str(blocked))
    found = doctor._safely("cache", doctor._cache, "set ENCORE_CACHE")
    assert found.ok is False
    assert found.cure == "set ENCORE_CACHE"


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENCORE_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"


def test_the_verdict_names_what_is_wrong() -> None:
    out = io.StringIO()
    examined = [Finding("torch", False, "is not installed", "pip install torch")]
    doctor.show(examined, Console(file=out, width=100))
    assert "pip install torch" in out.getvalue()
    assert "cannot work yet: torch" in out.getvalue()
