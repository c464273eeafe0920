"""Looks at everything a remaster needs by using it, and says the cure of what is missing.

A plugin counts when it has filtered a frame, an encoder when it has encoded one. No check trusts
another to have passed, and one that breaks is itself a finding.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from encore.cache import cache_dir

__all__ = ["Finding", "examine", "show"]

_INSTALL = "pip install --force-reinstall {}"
_PLUGINS = {
    "bs": "vapoursynth-bestsource",
    "mvu": "vapoursynth-mvutensils",
    "znedi3": "vapoursynth-znedi3",
    "bwdif": "vapoursynth-bwdif",
    "zsmooth": "vapoursynth-zsmooth",
    "vszip": "vapoursynth-vszip",
    "akarin": "vapoursynth-akarin",
    "resize2": "vapoursynth-resize2",
    "vivtc": "vapoursynth-vivtc",
}
_ENCODERS = {
    "libx265": "HEVC, the default",
    "libx264": "H.264",
    "libsvtav1": "AV1",
    "ffv1": "lossless",
    "prores_ks": "ProRes",
    "flac": "lossless sound",
    "aac": "AAC",
    "libopus": "Opus",
}
_DISK_GB = 20
_MEMORY_GB = 4
_PATIENCE_S = 60


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `ok` is None where something optional is missing or scarce."""

    name: str
    ok: bool | None
    found: str
    cure: str = ""
    """What to type or do; empty where all is well."""


def examine() -> list[Finding]:
    """Look at everything; takes a few seconds and never raises."""
    findings = [
        _safely("Python", _python),
        _safely("VapourSynth", _vapoursynth, _INSTALL.format("vapoursynth")),
    ]
    findings += [
        _safely(f"plugin {name}", partial(_plugin, name), _INSTALL.format(package))
        for name, package in _PLUGINS.items()
    ]
    findings += [
        _safely("QTempGaussMC", _qtgmc, "pip install 'vsjetpack<3' 'vapoursynth-mvutensils<10'"),
        _optional("vspipe", _vspipe, "vapoursynth config"),
        _safely("torch", _torch, _INSTALL.format("torch")),
        _optional(
            "CUDA", _cuda, "--device cpu works meanwhile; look at the driver with nvidia-smi"
        ),
        _safely("FFmpeg", _ffmpeg, _INSTALL.format("imageio-ffmpeg")),
    ]
    findings += _encoders()
    findings += [
        _safely("HEVC Main10", _main10, _INSTALL.format("imageio-ffmpeg")),
        _safely("disk here", lambda: _disk("disk here", Path.cwd()), "use a folder that exists"),
        _safely(
            "disk for work", lambda: _disk("disk for work", Path(tempfile.gettempdir())), _TMPDIR
        ),
        _safely("memory", _memory, "free some memory"),
        _safely("cache", _cache, "set ENCORE_CACHE to a folder that you may write to"),
    ]
    return findings


def show(findings: list[Finding], console: Console) -> None:
    """Print the findings as a table, each cure below, and the verdict in the last line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.ok]
        table.add_row(Text(mark, style=style), finding.name, Text(finding.found))
        if finding.cure:
            table.add_row("", "", Text(f"cure: {finding.cure}", style="yellow"))
    console.print(table)
    wrong = [finding.name for finding in findings if finding.ok is False]
    if wrong:
        console.print(Text(f"Encore cannot work yet: {', '.join(wrong)}.", style="red"))
    else:
        console.print(Text("Encore can work here.", style="green"))


_MARKS = {True: ("ok", "green"), None: ("--", "yellow"), False: ("NO", "red")}
_TMPDIR = "set TMPDIR to a folder on a larger disk"


def _safely(name: str, check: Callable[[], Finding], cure: str = "") -> Finding:
    try:
        return check()
    except Exception as broken:
        return Finding(name, False, _said(broken), cure)


def _optional(name: str, check: Callable[[], Finding], cure: str) -> Finding:
    finding = _safely(name, check, cure)
    return finding if finding.ok else Finding(name, None, finding.found, finding.cure)


def _said(broken: Exception) -> str:
    if isinstance(broken, ModuleNotFoundError):
        return f"{broken.name} is not installed"
    lines = [line.strip() for line in str(broken).splitlines() if line.strip()]
    return lines[0] if lines else type(broken).__name__


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}"
    good = sys.version_info >= (3, 12)
    return Finding("Python", good, found, "" if good else "install Python 3.12 or newer")


def _vapoursynth() -> Finding:
    import vapoursynth as vs

    release = vs.__version__.release_major
    good = release >= 80
    return Finding(
        "VapourSynth",
        good,
        f"R{release}, {vs.core.num_threads} threads, {vs.core.max_cache_size} MiB of frames",
        "" if good else "pip install --upgrade 'vapoursynth>=80'",
    )


def _plugin(name: str) -> Finding:
    """Filter one frame with the plugin."""
    import vapoursynth as vs

    core = vs.core
    plugin = {p.namespace: p for p in core.plugins()}.get(name)
    if plugin is None:
        raise RuntimeError("not loaded")
    clip = core.std.BlankClip(format=vs.YUV420P16, width=64, height=64, length=4)
    deep = core.std.BlankClip(clip, format=vs.YUV444PS)
    eight = core.std.BlankClip(clip, format=vs.YUV420P8)
    uses: dict[str, Callable[[], Any]] = {
        "bs": lambda: _decoded(core),
        "mvu": lambda: _motion(core, clip),
        "znedi3": lambda: core.znedi3.nnedi3(clip, field=1),
        "bwdif": lambda: core.bwdif.Bwdif(clip, field=3),
        "zsmooth": lambda: core.zsmooth.TemporalMedian(clip),
        "vszip": lambda: core.vszip.BoxBlur(clip),
        "akarin": lambda: core.akarin.Expr(clip, "x 2 /"),
        "resize2": lambda: core.resize2.Lanczos(deep, 32, 32),
        "vivtc": lambda: core.vivtc.VFM(eight, order=1),
    }
    with uses[name]().get_frame(0):
        return Finding(f"plugin {name}", True, f"{_version(plugin)}, a frame filtered")


def _version(plugin: Any) -> str:
    from importlib.metadata import version

    return f"{_PLUGINS[plugin.namespace]} {version(_PLUGINS[plugin.namespace])}"


def _motion(core: Any, clip: Any) -> Any:
    pyramid = core.mvu.Super(clip, blksize=[8], overlap=[4])
    return core.mvu.SCDetection(clip, core.mvu.Analyse(pyramid))


def _decoded(core: Any) -> Any:
    """A recording of two frames made by FFmpeg and opened by BestSource."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "two.mkv"
        _run([*_test_picture(), "-frames:v", "2", "-c:v", "ffv1", str(file)])
        clip = core.bs.VideoSource(str(file), cachemode=0)
        frame = clip.get_frame(1)
        frame.close()
        return core.std.BlankClip(clip)


def _qtgmc() -> Finding:
    """Deinterlace a blank clip: this breaks when vsjetpack and mvutensils do not fit together."""
    import vapoursynth as vs
    from vsdeinterlace import QTempGaussMC

    clip = vs.core.std.BlankClip(format=vs.YUV420P16, width=128, height=96, length=6)
    clip = clip.std.SetFieldBased(2)
    with QTempGaussMC(basic_tr=1).bob(clip, tff=True).get_frame(4):
        return Finding("QTempGaussMC", True, "deinterlaces")


def _vspipe() -> Finding:
    told = _run([shutil.which("vspipe") or "vspipe", "--version"]).splitlines()
    core = next((line for line in told if line.startswith("Core")), "runs")
    return Finding("vspipe", True, f"{core}, for scripts outside Encore")


def _torch() -> Finding:
    import torch

    threads = torch.get_num_threads()
    metal = ", Metal" if torch.backends.mps.is_available() else ""
    found = f"{torch.__version__}, {threads} threads of {platform.machine()}{metal}"
    return Finding("torch", float(torch.ones(8).sum()) == 8, found)


def _cuda() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("CUDA", None, "no device that torch can use; the processor does the work")
    names = []
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        assert float(torch.ones(8, device=f"cuda:{index}").sum()) == 8
        names.append(f"cuda:{index} {card.name}, {card.total_memory / 2**30:.0f} GiB")
    return Finding("CUDA", True, "; ".join(names))


def _ffmpeg() -> Finding:
    first = _run([_program(), "-version"]).splitlines()[0]
    version = first.removeprefix("ffmpeg version ").split()[0]
    return Finding("FFmpeg", True, f"{version} at {_program()}")


def _encoders() -> list[Finding]:
    def listed() -> Finding:
        lines = _run([_program(), "-hide_banner", "-encoders"]).splitlines()
        known = {words[1] for words in map(str.split, lines) if len(words) > 1}
        missing = [f"{name} ({what})" for name, what in _ENCODERS.items() if name not in known]
        if missing:
            found = f"without {', '.join(missing)}"
            return Finding("encoders", False, found, f"{_UNSET} or {_REINSTALL}")
        return Finding("encoders", True, ", ".join(_ENCODERS))

    return [_safely("encoders", listed, _REINSTALL)]


_REINSTALL = _INSTALL.format("imageio-ffmpeg")
_UNSET = "unset IMAGEIO_FFMPEG_EXE"


def _main10() -> Finding:
    """Encode one frame as a remaster's would be."""
    ten = ("-frames:v", "1", "-pix_fmt", "yuv420p10le", "-c:v", "libx265")
    told = _run([*_test_picture(), *ten, "-profile:v", "main10", "-f", "null", os.devnull])
    good = "Main 10" in told
    return Finding("HEVC Main10", good, "a frame encoded" if good else "not a Main 10 profile")


def _disk(name: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / 1e9
    found = f"{free:.0f} GB free in {folder}"
    if free < _DISK_GB:
        return Finding(name, None, found, f"a long concert wants {_DISK_GB} GB; {_TMPDIR}")
    return Finding(name, True, found)


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f} GiB"
    if memory.available < _MEMORY_GB * 2**30:
        return Finding("memory", None, found, f"close something: {_MEMORY_GB} GiB are comfortable")
    return Finding("memory", True, found)


def _cache() -> Finding:
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"encore")
    return Finding("cache", True, f"{folder} can be written")


def _program() -> str:
    from encore.ffmpeg import program  # here, so that a missing package is a finding

    return program()


def _test_picture() -> list[str]:
    """FFmpeg up to where its output is named, with a picture of its own as input."""
    picture = "testsrc2=size=128x96:rate=25"
    return [_program(), "-hide_banner", "-nostdin", "-y", "-f", "lavfi", "-i", picture]


def _run(command: list[str]) -> str:
    """Everything a command says; raises with its last line when it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_PATIENCE_S,
        check=False,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        said = done.stdout.strip().splitlines() or ["it said nothing"]
        raise RuntimeError(f"exit code {done.returncode}: {said[-1]}")
    return done.stdout
