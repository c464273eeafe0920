"""`encore encode`: any VapourSynth script through the chunks of a remaster, and verified like one.

Output 0 is the picture, output 1, where there is one, the sound. What a script does is its own: its
text and the files that it names as whole strings decide what a finished chunk is kept for, and a
file that it finds another way is not noticed when it changes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from encore import __version__, encode
from encore.chunked import identity
from encore.chunked.crew import check_cluster, crew_for
from encore.chunked.ledger import keep_facts, kept_facts
from encore.chunked.picture import plan, tell_changes, work
from encore.chunked.state import Watched
from encore.encode import PICTURE_SUFFIXES
from encore.errors import JobError, RequestError
from encore.ffmpeg import last_words
from encore.mux import Plan, mux
from encore.preset import Preset, flatten, load, with_settings
from encore.process import spawned
from encore.progress import Reporter, Update, clock
from encore.render import clip_of, event_of
from encore.verify import Expected, Verified, rechecked, verify
from encore.workfolder import (
    alone,
    checked_output,
    finish,
    opened,
    partial_of,
    settled,
)

__all__ = ["Request", "encode_script"]


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    script: Path
    output: Path
    preset: str = ""
    """Of a preset, `encode` and `job` are used."""
    settings: Sequence[str] = ()
    workers: int | None = None
    cluster: str | None = None
    work: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class _Sound:
    path: Path
    samples: int
    sample_rate_hz: int


def encode_script(request: Request, reporter: Reporter) -> Verified:
    """Do the whole job. Raises RequestError where nothing was begun, JobError where it failed."""
    began = time.monotonic()
    output = Path(os.path.abspath(request.output))
    folder = (request.work or output.with_name(output.name + ".encore")).absolute()
    if not request.overwrite and (done := settled(output, folder, reporter)) is not None:
        return Verified(**done[1]["verified"])
    output = checked_output(request.output, PICTURE_SUFFIXES, overwrite=request.overwrite)
    check_cluster(request.cluster)
    preset = with_settings(load(request.preset) if request.preset else Preset(), request.settings)
    encode.check(preset.encode, output.suffix.lower())
    text = _read(request.script)
    with opened(folder, ours=request.work is None), alone(folder, output):
        reporter = Watched(reporter, folder, output)
        script = request.script.absolute()
        named = identity.files_named_in(text)
        decides = {
            "script": text,
            "files": {str(path): identity.content([path]) for path in named},
            "weights": {},
            "versions": dict(identity.versions("picture")),
        }
        try:
            clip = clip_of(script, log=folder / "picture.log", stall_s=preset.job.stall_s)
        except JobError as error:
            raise RequestError(f"{request.script}: {error}") from error
        reporter.say(f"{clip.width}x{clip.height} {clip.format}, {clip.frames} frames")
        if clip.width % 2 or clip.height % 2:
            raise RequestError(
                f"{request.script}: its picture is {clip.width}x{clip.height}; encoders want even "
                "sizes: crop it, or add a border"
            )
        planned = plan(
            script,
            clip,
            preset.encode,
            preset.job,
            work=folder,
            decides=decides,
            inputs=[path.absolute() for path in named],
        )
        keep = preset.job.keep_chunks
        tell_changes(planned, folder, flatten(preset), reporter, keep=keep)
        sound = _sound(script, decides, preset, output.suffix.lower(), folder, reporter)
        made = work(
            planned,
            crew_for(planned, request.workers, request.cluster, _device(text)),
            preset.job,
            output=output,
            folder=folder,
            beside_bytes=sound.path.stat().st_size if sound else 0,
            reporter=reporter,
        )
        expected = Expected(
            clip=clip,
            samples=sound.samples if sound else None,
            sample_rate_hz=sound.sample_rate_hz if sound else None,
            lossless_sound=encode.sound_codec(preset.encode, output.suffix.lower())
            in ("flac", "pcm"),
            kept={},
            chapters=0,
            pieces=made.pieces,
            recheck=made.recheck,
        )
        partial = partial_of(output)
        try:
            verified = _joined(preset, expected, made.files, sound, folder, partial, reporter)
            took_s = time.monotonic() - began
            told = {
                "encore": __version__,
                "script": text,
                "output": str(output),
                "settings": flatten(preset),
                "chunks": [asdict(record) for record in made.records],
                "verified": verified.as_json(),
                "took_s": round(took_s, 3),
            }
            overwrite = request.overwrite
            report = finish(partial, output, folder, told, overwrite=overwrite, keep=keep)
        finally:
            partial.unlink(missing_ok=True)
        reporter.finished()
    reporter.say(f"{output}: done and verified in {clock(took_s)}; see {report}")
    return verified


def _device(text: str) -> str:
    """Where lanes are spread over GPUs: only a script that names what uses them may want one."""
    return "auto" if any(name in text for name in ("torch", "vsencore", "trt")) else "cpu"


def _read(script: Path) -> str:
    try:
        return script.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RequestError(f"cannot open {str(script)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{str(script)!r} is no script: it is not text") from error


def _joined(
    preset: Preset,
    expected: Expected,
    pictures: Sequence[tuple[Path, int]],
    sound: _Sound | None,
    folder: Path,
    partial: Path,
    reporter: Reporter,
) -> Verified:
    clip = expected.clip
    assert clip is not None
    length_s = float(clip.frames / clip.rate)
    with rechecked(expected.recheck), reporter.stage("mux", unit="s") as update:
        mux(
            None,
            Plan([]),
            picture=pictures,
            rate=clip.rate,
            sound=sound.path if sound else None,
            target=partial,
            settings=preset.encode,
            chapters=[],
            start_s=0.0,
            duration_s=length_s,
            mastered=None,
            work=folder,
            update=lambda done, total: update(min(done, length_s), length_s),
        )
    with reporter.stage("verify", unit="frames") as update:
        return verify(partial, expected, update)


def _sound(
    script: Path,
    decides: Mapping[str, Any],
    preset: Preset,
    suffix: str,
    work: Path,
    reporter: Reporter,
) -> _Sound | None:
    """The script's own sound as a file in the work folder; an earlier run's where it is whole."""
    codec = encode.sound_codec(preset.encode, suffix)
    folder = work / "sound"
    folder.mkdir(exist_ok=True)
    name = identity.digest([decides, codec])
    target = folder / f"{name}{'.flac' if codec == 'flac' else '.w64'}"
    if (known := kept_facts(target)) is not None:
        reporter.say("the sound is finished and kept")
        return _Sound(target, known["samples"], known["sample_rate_hz"])
    with reporter.stage("sound", unit="s") as update:
        facts = _written(script, target, work / "sound.log", update)
    if facts is None:
        reporter.say("the script sets no output 1: there is no sound")
        return None
    keep_facts(target, facts)
    return _Sound(target, facts["samples"], facts["sample_rate_hz"])


def _written(script: Path, target: Path, log: Path, update: Update) -> dict[str, Any] | None:
    """Have the script's sound written; its facts, None where it has none."""
    command = [sys.executable, "-m", "encore.soundworker", str(script), str(target)]
    facts: dict[str, Any] | None = None
    wrong = ""
    pipe = subprocess.PIPE
    with (
        log.open("wb") as said,
        spawned(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe) as process,
    ):
        assert process.stderr is not None
        for raw in process.stderr:
            event = event_of(raw)
            if event is None:
                said.write(raw)
            elif event["event"] == "sound":
                facts = event
            elif event["event"] == "error":
                wrong = event["text"]
            elif event["event"] == "samples" and facts is not None:
                rate = facts["sample_rate_hz"]
                update(event["done"] / rate, facts["samples"] / rate)
                facts["done"] = event["done"]
        code = process.wait()
    if wrong or code != 0:
        target.unlink(missing_ok=True)
        raise JobError(f"the script's sound failed: {wrong or last_words(log)}")
    if facts is not None and facts.pop("done", 0) != facts["samples"]:
        raise JobError("the script's sound ended before its end")
    return facts
