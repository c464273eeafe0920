"""A remaster from start to end: look, choose, master the sound, render the picture, join, verify.

Everything between lives in the work folder; the output gets its name by one rename, after it was
read back. What was decided is written there as plain JSON, and the picture chain as `picture.vpy`.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from encore import __version__, encode
from encore.chunked import identity
from encore.chunked.crew import check_cluster, crew_for
from encore.chunked.identity import content, digest
from encore.chunked.ledger import keep_facts, kept_facts, write_whole
from encore.chunked.picture import Finished, tell_changes, wanted_borders
from encore.chunked.picture import Plan as PicturePlan
from encore.chunked.picture import plan as plan_chunks
from encore.chunked.picture import work as work_chunks
from encore.chunked.state import Watched
from encore.decoding import decoded_throughout
from encore.encode import PICTURE_SUFFIXES, SOUND_SUFFIXES, Clip
from encore.errors import JobError, RequestError
from encore.facts import Chapter, PictureFacts, Scan, SoundFacts, StreamFacts
from encore.looks import Looked, check_faces, look
from encore.mux import Plan, chapters_within, mux, plan
from encore.plain import plain
from encore.preset import Preset, choose, flatten, load, with_settings
from encore.progress import Reporter
from encore.render import clip_of
from encore.scan import cuts_near, scan
from encore.script import (
    FrameRange,
    Looks,
    finishes,
    has_fields,
    output_rate,
    picture_script,
    relights,
    uses_network,
)
from encore.source import Source, open_source
from encore.verify import Expected, Verified, rechecked, verify
from encore.workfolder import (
    LIGHT_PAGE,
    PAGE,
    alone,
    checked_output,
    finish,
    opened,
    partial_of,
    settled,
)

__all__ = ["Request", "Result", "check_models", "parse_range", "prepare", "remaster"]

# A track that ends a packet before the picture does is how files are.
_LOSS_WORTH_TELLING_S = 0.1
_DAMAGE_TOLD = 3
_SURE_OF_ALIGNMENT = 0.9
_RANGE = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    source: Path
    output: Path
    preset: str = "auto"
    settings: Sequence[str] = ()
    range_s: tuple[float, float] | None = None
    """Seconds of the picture, from its first frame."""
    work: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    align: Path | None = None
    """The recording on whose clock the sound shall lie."""
    fill: bool = False
    """Where the source has nothing, that recording's own sound is heard."""
    stems: Path | None = None
    """A folder for the stems."""
    workers: int | None = None
    """How many chunks are made at once on this machine; None is as many as it stands."""
    cluster: str | None = None
    """The address of a Dask scheduler whose workers make the chunks."""


@dataclass(frozen=True)
class Result:
    """What was made."""

    output: Path
    report: Path
    verified: Verified


@dataclass
class _Job:
    request: Request
    reporter: Reporter
    work: Path
    scan: Scan
    preset_name: str
    preset: Preset
    content: dict[str, Any]
    """What the source holds, sampled."""
    looked: Looked = field(default_factory=Looked)
    script: Path | None = None
    clip: Clip | None = None
    picture: PicturePlan | None = None
    made: Finished | None = None
    start_s: float = 0.0
    took_s: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Tell the user, and remember it for the report."""
        self.notes.append(text)
        self.reporter.warn(text)


def remaster(request: Request, reporter: Reporter) -> Result:
    """Do the whole job. Raises RequestError where nothing was begun, JobError where it failed."""
    began = time.monotonic()
    output = Path(os.path.abspath(request.output))
    work = (request.work or output.with_name(output.name + ".encore")).absolute()
    if not request.overwrite and (done := settled(output, work, reporter)) is not None:
        return Result(output, done[0], Verified(**done[1]["verified"]))
    output = _checked_output(request)
    check_cluster(request.cluster)
    _check_settings(request, output.suffix.lower())
    with opened(work, ours=request.work is None), alone(work, output):
        reporter = Watched(reporter, work, output)
        took: dict[str, float] = {}
        with _timed(took, "scan"):
            source = open_source(request.source, work, reporter)
            found, content = _looked_at(source, work, reporter)
        name, preset = prepare(found, request.preset, request.settings, reporter)
        job = _Job(request, reporter, work, found, name, preset, content, took_s=took)
        _tell_damage(job)
        partial = partial_of(output)
        try:
            made = _make(job, source, output, partial)
            with _timed(job.took_s, "verify"), reporter.stage("verify", unit="frames") as update:
                verified = verify(partial, made.expected, update)
            job.took_s["whole"] = time.monotonic() - began
            keep = preset.job.keep_chunks
            told = _report(job, output, made, verified)
            report = finish(partial, output, work, told, overwrite=request.overwrite, keep=keep)
        finally:
            partial.unlink(missing_ok=True)
        reporter.finished()
        if source.remuxed and request.work is None and not keep:
            source.media.unlink(missing_ok=True)
    reporter.say(f"{output}: done and verified in {_minutes(job.took_s['whole'])}; see {report}")
    return Result(output, report, verified)


def prepare(
    scan: Scan, preset: str, settings: Sequence[str], reporter: Reporter
) -> tuple[str, Preset]:
    """The preset of a job: the one named, or the one a scan suggests; `--set` over it."""
    name = preset
    if preset == "auto":
        name, why = choose(scan)
        reporter.say(f"preset {name}, since {why}")
    return name, with_settings(load(name), settings)


def parse_range(text: str) -> tuple[float, float]:
    """Seconds from "A-B", each [[h:]m:]s with decimals. Raises RequestError where it is none."""
    parts = [_RANGE.fullmatch(part.strip()) for part in text.split("-")]
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        raise RequestError(f"--range wants A-B, as in 90-120 or 1:30-2:00.5, not {text!r}")
    first, last = (
        3600 * int(match[1] or 0) + 60 * int(match[2] or 0) + float(match[3])
        for match in (parts[0], parts[1])
    )
    if first >= last:
        raise RequestError(f"--range {text} ends before it begins")
    return first, last


@dataclass
class _Made:
    expected: Expected
    plan: Plan
    sound: Mastered | None = None


@dataclass(frozen=True)
class Mastered:
    """The mastered sound: a file in the work folder, and its report as plain data."""

    path: Path
    samples: int
    sample_rate_hz: int
    duration_s: float
    told: dict[str, Any]


def _make(job: _Job, source: Source, output: Path, partial: Path) -> _Made:
    wants_sound = job.preset.sound.enabled and bool(job.scan.sound)
    wants_picture = job.preset.picture.enabled and job.scan.picture is not None
    if output.suffix.lower() in SOUND_SUFFIXES:
        wants_picture = False
        if not job.scan.sound:
            raise RequestError(
                f"{job.scan.source} has no sound, and {output.suffix} holds nothing else"
            )
        return _Made(*_sound_alone(job, partial))
    if not wants_picture and not wants_sound:
        raise RequestError(f"{job.scan.source}: nothing is left to do with these settings")
    if job.scan.picture is None:
        job.note("there is no picture: only the sound is remastered")
    elif not job.scan.sound:
        job.note("there is no sound: only the picture is remastered")
    encode.check(job.preset.encode, output.suffix.lower())
    if wants_picture:
        _plan_picture(job, source)
    duration = Fraction(job.clip.frames) / job.clip.rate if job.clip else None
    sound: Mastered | None = None
    if wants_sound:
        sound = _master(job, output.suffix.lower(), duration)
    if job.picture is not None:
        job.made = _render(job, job.picture, output, sound)
    made = job.made
    length_s = float(duration) if duration is not None else (sound.duration_s if sound else 0.0)
    kept = plan(job.scan, output.suffix.lower(), job.preset.encode)
    for left in kept.left_out:
        job.note(f"left out {left}")
    inside = chapters_within(_chapters(job, source), job.start_s, length_s)
    track = _sound_track(job.scan, job.preset) if wants_sound else None
    recheck = made.recheck if made else None
    with (
        _timed(job.took_s, "mux"),
        rechecked(recheck),
        job.reporter.stage("mux", unit="s") as update,
    ):
        mux(
            job.scan,
            kept,
            picture=made.files if made else [],
            rate=job.clip.rate if job.clip else None,
            sound=sound.path if sound else None,
            target=partial,
            settings=job.preset.encode,
            chapters=inside,
            start_s=job.start_s,
            duration_s=length_s,
            mastered=_stream(job.scan, track.stream) if track else None,
            work=job.work,
            update=lambda done, total: update(min(done, length_s), length_s),
        )
    kinds = [stream.kind for stream in kept.kept]
    expected = Expected(
        clip=job.clip,
        samples=sound.samples if sound else None,
        sample_rate_hz=sound.sample_rate_hz if sound else None,
        lossless_sound=encode.sound_codec(job.preset.encode, output.suffix.lower())
        in ("flac", "pcm"),
        kept={kind: kinds.count(kind) for kind in ("audio", "subtitle", "attachment")},
        chapters=len(inside),
        pieces=made.pieces if made else (),
        recheck=recheck,
    )
    return _Made(expected, kept, sound)


def _looked_at(source: Source, work: Path, reporter: Reporter) -> tuple[Scan, dict[str, Any]]:
    """The scan of a source, and its content; an earlier run's where nothing changed since."""
    held = content(source.originals)
    name = digest([held, __version__, dict(identity.versions("picture")), str(source.media)])
    target, mark = work / "scan.json", work / "scan.of"
    try:
        if mark.read_text(encoding="ascii").strip() == name:
            known = Scan.model_validate_json(target.read_text(encoding="utf-8"))
            reporter.say("the source was looked at before, and has not changed")
            return known, held
    except (OSError, ValueError):
        pass
    # What it is of is told only while it is whole.
    mark.unlink(missing_ok=True)
    found = decoded_throughout(scan(source, work=work, reporter=reporter), reporter)
    write_whole(target, found.model_dump(mode="json"))
    mark.write_text(name + "\n", encoding="ascii")
    return found, held


def _chapters(job: _Job, source: Source) -> Sequence[Chapter]:
    return source.chapters if source.chapters is not None else job.scan.chapters


def _plan_picture(job: _Job, source: Source) -> None:
    """Write the script, and learn from it what the finished picture will be."""
    picture = job.scan.picture
    assert picture is not None
    frames = None
    if job.request.range_s is not None:
        rate = output_rate(picture, job.preset)
        first, last = (round(at * rate) for at in job.request.range_s)
        frames = FrameRange(first, last)
        if first >= min(last, int(picture.duration_s * rate)):
            raise RequestError(
                f"--range holds no frame: the picture lasts {picture.duration_s:.2f} s at "
                f"{float(rate):.3f} frames a second"
            )
    _check_network(picture, job.preset)
    with _timed(job.took_s, "looks"):
        job.looked = look(
            job.scan, job.preset, job.work, job.reporter, job.content, job.request.range_s
        )
    (job.work / LIGHT_PAGE).unlink(missing_ok=True)
    if job.looked.timeline is not None:
        from encore.light_page import draw  # brings torch, which sound alone does without

        draw(job.looked.timeline, job.work / LIGHT_PAGE, title=Path(job.scan.source).name)
    device = job.request.device
    text = picture_script(job.scan, job.preset, frames, device, job.looked.script)
    job.script = job.work / "picture.vpy"
    job.script.write_text(text, encoding="utf-8")
    stall_s = job.preset.job.stall_s
    job.clip = clip_of(job.script, log=job.work / "picture.log", stall_s=stall_s)
    first = frames.first if frames else 0
    job.start_s = picture.start_s + float(first / job.clip.rate)
    restore = job.preset.picture.restore
    if restore.model != "none" and not uses_network(picture, job.preset):
        why = "picture.restore.strength is 0" if restore.strength == 0 else "fields are left woven"
        job.note(f"the network {restore.model} is not used: {why}")
    if restore.model == "none" and restore.method != "framenet" and restore.grain:
        job.note("picture.restore.grain is not used: it is the network's, and none is chosen")
    wanted = job.preset.picture
    if wanted.finished and not finishes(picture, job.preset):
        job.note("faces, light and dim light are left alone, since fields are left woven")
    elif wanted.relight.asked and not relights(picture, job.preset):
        job.note(f"dim light is left alone: {picture.transfer.value} is not SDR video")
    if job.clip.height < picture.height:
        job.note(f"the picture is made smaller: {picture.height} lines to {job.clip.height}")
    job.reporter.say(
        f"{picture.width}x{picture.height} {picture.structure} at {_rate(picture.rate)} -> "
        f"{job.clip.width}x{job.clip.height} at {_rate(job.clip.rate)}, {job.clip.frames} frames"
    )
    _plan_chunks(job, picture, source, frames)


def _plan_chunks(
    job: _Job, picture: PictureFacts, source: Source, frames: FrameRange | None
) -> None:
    clip, preset, script = job.clip, job.preset, job.script
    assert clip is not None
    assert script is not None
    ratio, first = output_rate(picture, preset) / picture.rate, frames.first if frames else 0
    chapters = [
        round((chapter.start_s - job.start_s) * clip.rate) for chapter in _chapters(job, source)
    ]
    wanted = wanted_borders(clip, preset.job, chapters)
    known = job.looked.cuts
    cuts = set(picture.cuts if known is None else known)
    if wanted and known is None and not job.scan.full:
        cuts |= cuts_near(job.scan, [round((border + first) / ratio) for border in wanted])
    # Paths and the device are not what decides pixels.
    bare = job.scan.model_copy(update={"source": "", "media": "", "index": None})
    decides = {
        "source": job.content,
        "script": picture_script(bare, preset, frames, "", _named(job.looked)),
        "looks": [content([path]) for path in job.looked.files],
        "weights": identity.weights(preset, "picture"),
        "versions": dict(identity.versions("picture")),
    }
    job.picture = plan_chunks(
        script,
        clip,
        preset.encode,
        preset.job,
        work=job.work,
        decides=decides,
        cuts=[round(cut * ratio) - first for cut in cuts],
        chapters=chapters,
        device=job.request.device,
        inputs=[Path(job.scan.media), *job.looked.files],
    )
    keep = preset.job.keep_chunks
    tell_changes(job.picture, job.work, flatten(preset), job.reporter, keep=keep)


def _render(job: _Job, planned: PicturePlan, output: Path, sound: Mastered | None) -> Finished:
    """Make the chunks that are not finished."""
    preset = job.preset
    beside = sound.path.stat().st_size if sound else 0
    beside += job.scan.size_bytes if preset.encode.keep_originals else 0
    with _timed(job.took_s, "picture"):
        request = job.request
        picture = job.scan.picture
        assert picture is not None
        # Asking for GPUs loads torch, which a classical chain does not want.
        networks = preset.picture.upscale.method in ("framenet", "model")
        networks = networks or preset.picture.deinterlace.method == "fieldnet"
        networks = networks or preset.picture.restore.method == "framenet"
        networks = networks or uses_network(picture, preset) or preset.picture.finished
        device = request.device if networks else "cpu"
        crew = crew_for(planned, request.workers, request.cluster, device)
        return work_chunks(
            planned,
            crew,
            preset.job,
            output=output,
            folder=job.work,
            beside_bytes=beside,
            reporter=job.reporter,
        )


def _master(job: _Job, suffix: str, duration: Fraction | None) -> Mastered:
    """Master the sound to a file in the work folder, cut to the picture."""
    codec = encode.sound_codec(job.preset.encode, suffix)
    lossless = codec in ("flac", "pcm")
    begin: float | None = job.start_s
    if job.clip is None:
        begin, duration = _sound_range(job)
        job.start_s = _sound_track(job.scan, job.preset).start_s if begin is None else begin
    # Opus knows only 48 kHz and its divisors.
    rate = 48000 if codec == "opus" else None
    subtype = "PCM_24" if lossless else "FLOAT"
    folder = job.work / "sound"
    folder.mkdir(exist_ok=True)
    decides = {
        "source": job.content,
        "recipe": job.preset.sound.model_dump(mode="json"),
        "weights": identity.weights(job.preset, "sound"),
        "versions": dict(identity.versions("sound")),
        "cut": [begin, str(duration), rate, subtype, suffix],
    }
    name = digest(decides)
    target = folder / f"{name}{'.flac' if codec == 'flac' else '.w64'}"
    if job.request.stems is None and (kept := kept_facts(target)) is not None:
        job.reporter.say("the sound is finished and kept")
        return Mastered(target, **kept)
    sound = _mastered(target, _run_master(job, target, begin, duration, rate, subtype, suffix))
    keep_facts(target, {name: value for name, value in vars(sound).items() if name != "path"})
    return sound


def _mastered(path: Path, master: Any) -> Mastered:
    return Mastered(
        path,
        master.samples,
        master.sample_rate_hz,
        float(master.duration_s),
        plain(asdict(master)),
    )


def _sound_alone(job: _Job, partial: Path) -> tuple[Expected, Plan, Mastered]:
    begin, duration = _sound_range(job)
    master = _run_master(job, partial, begin, duration, None, "auto", partial.suffix.lower())
    expected = Expected(None, master.samples, master.sample_rate_hz, True, {}, 0)
    return expected, Plan([]), _mastered(partial, master)


def _sound_range(job: _Job) -> tuple[float | None, Fraction | None]:
    """Where on the source's clock the sound begins, and how long it is; None is all of it."""
    if job.request.range_s is None:
        return None, None
    track = _sound_track(job.scan, job.preset)
    first, last = job.request.range_s
    last = min(last, track.duration_s)
    if first >= last:
        raise RequestError(
            f"--range begins at {first:g} s, but the sound lasts {track.duration_s:.1f} s"
        )
    return track.start_s + first, Fraction(last) - Fraction(first)


def _run_master(
    job: _Job,
    target: Path,
    begin_s: float | None,
    duration: Fraction | None,
    rate_hz: int | None,
    subtype: str,
    suffix: str,
) -> Any:
    import encoreaudio
    from encore.sound import sound_recipe

    track = _sound_track(job.scan, job.preset)
    request = job.request
    with _timed(job.took_s, "sound"), job.reporter.stage("sound", unit="s") as update:
        try:
            master = encoreaudio.master(
                job.scan.media,
                target,
                sound_recipe(job.preset, suffix, track.channels, request.align, request.fill),
                track=track.track,
                start_s=begin_s,
                duration_s=duration,
                sample_rate_hz=rate_hz,
                subtype=subtype,
                device=request.device,
                work=job.work,
                stems=request.stems,
                page=job.work / PAGE,
                progress=update,
            )
        except encoreaudio.SoundError as error:
            raise JobError(f"the sound failed: {error}") from error
    _tell_sound(job, master)
    if master.lost_s > _LOSS_WORTH_TELLING_S:
        job.note(
            f"{master.lost_s:.2f} s of the sound are missing in the source, first at "
            f"{master.damage[0][0]:.2f} s; silence stands there (the report lists all)"
        )
    if master.invalid_samples:
        job.note(f"{master.invalid_samples} samples of the sound were no numbers; they are 0 now")
    return master


def _tell_sound(job: _Job, master: Any) -> None:
    """What was done to the sound, and what was asked for and found nothing."""
    for done in master.repairs:
        job.reporter.say(f"sound: {done.name}: {done.did}")
    names = {done.name for done in master.repairs}
    for name, amount in job.preset.sound.repair.model_dump().items():
        asked = isinstance(amount, int | float) and name != "rumble_hz" and amount > 0
        if asked and name not in names:
            job.note(f"sound.repair.{name} was asked for, but nothing of the kind was found")
    if found := master.alignment:
        job.reporter.say(
            f"sound: {found.offset_s:+.3f} s against the reference, its clock "
            f"{found.drift_ppm:+.1f} parts in a million apart; {len(found.edits)} cuts, "
            f"{len(found.gaps)} stretches without this recording"
        )
        if found.confidence < _SURE_OF_ALIGNMENT:
            job.note(
                f"only {100 * found.confidence:.0f} % of the seconds clearly agree with the "
                "reference: look at the cuts in the report, and listen"
            )


def _sound_track(found: Scan, preset: Preset) -> SoundFacts:
    if preset.sound.track != "auto":
        for sound in found.sound:
            if sound.track == preset.sound.track:
                return sound
        raise RequestError(
            f"sound.track is {preset.sound.track}, but there are {len(found.sound)} sound tracks, "
            "counted from 0"
        )
    return next((sound for sound in found.sound if sound.default), found.sound[0])


def _stream(found: Scan, index: int) -> StreamFacts:
    return next(stream for stream in found.streams if stream.index == index)


def _checked_output(request: Request) -> Path:
    output = checked_output(
        request.output, PICTURE_SUFFIXES + SOUND_SUFFIXES, overwrite=request.overwrite
    )
    if os.path.exists(request.source) and output.exists() and output.samefile(request.source):
        raise RequestError("the output is the source itself; name another file")
    return output


def _check_network(picture: PictureFacts, preset: Preset) -> None:
    """Refuse weights for the other kind of pictures."""
    if not uses_network(picture, preset):
        return
    from vsencore.nets.bundled import shape_of
    from vsencore.zoo import ZooError

    try:
        shape_of(
            preset.picture.restore.model, "fields" if has_fields(picture, preset) else "frames"
        )
    except ZooError as error:
        raise RequestError(f"picture.restore.model: {error}, which this recording has") from error


def _check_settings(request: Request, suffix: str) -> None:
    """Refuse what is wrong before the recording is looked at, which takes its time."""
    if request.range_s is not None and request.align is not None:
        raise RequestError("--range and --align do not go together; align the whole, then cut it")
    if request.preset != "auto":
        checked = with_settings(load(request.preset), request.settings)
    else:
        checked = with_settings(Preset(), request.settings)
    if suffix in PICTURE_SUFFIXES:
        encode.check(checked.encode, suffix)
        if checked.picture.enabled:
            check_models(checked)
    if checked.sound.enabled:
        from encore.sound import check_sound

        check_sound(checked, request)


def check_models(checked: Preset) -> None:
    """Refuse models of a picture's chain that are not here. Raises RequestError."""
    if checked.picture.upscale.method == "model":
        from vsencore.zoo import ZooError, find

        try:
            find(checked.picture.upscale.model)
        except ZooError as error:
            raise RequestError(f"picture.upscale.model: {error}") from error
    if checked.picture.restore.model != "none":
        from vsencore.nets.bundled import check
        from vsencore.zoo import ZooError

        try:
            check(checked.picture.restore.model)
        except ZooError as error:
            raise RequestError(f"picture.restore.model: {error}") from error
    check_faces(checked)


def _tell_damage(job: _Job) -> None:
    damage = job.scan.damage
    for one in damage[:_DAMAGE_TOLD]:
        at = "" if one.at_s is None else f" at {one.at_s:.2f} s"
        job.note(f"the source is damaged{at}: {one.what}")
    if len(damage) > _DAMAGE_TOLD:
        job.note(f"{len(damage) - _DAMAGE_TOLD} more places of damage are in the report")


def _named(looked: Looked) -> Looks:
    """What was looked for, without the paths."""
    return Looks(*("found" if path else "" for path in (looked.light, looked.faces)))


def _told_faces(job: _Job) -> dict[str, Any] | None:
    """How many faces were followed, and where a model was not used, on the output's clock."""
    if job.looked.tracks is None or job.clip is None:
        return None
    rate = job.clip.rate
    spans = [span for record in (job.made.records if job.made else []) for span in record.strays]
    strays: list[list[int]] = []
    for face, first, last in sorted(spans):
        if strays and strays[-1][0] == face and strays[-1][2] == first - 1:
            strays[-1][2] = last
        else:
            strays.append([face, first, last])
    return {
        "followed": job.looked.tracks,
        "method": job.preset.picture.faces.method,
        "licence": _licence(job.preset.picture.faces.method),
        "strays": [
            {"face": face, "start_s": float(first / rate), "end_s": float((last + 1) / rate)}
            for face, first, last in strays
        ],
    }


def _licence(model: str) -> str | None:
    if model == "detail":
        return None
    from vsencore.zoo import find

    return find(model).licence


def _report(job: _Job, output: Path, made: _Made, verified: Verified) -> dict[str, Any]:
    clip, timeline = job.clip, job.looked.timeline
    return {
        "encore": __version__,
        "python": platform.python_version(),
        "source": job.scan.source,
        "output": str(output),
        "preset": job.preset_name,
        "settings": job.preset.model_dump(mode="json"),
        "found": job.scan.model_dump(mode="json"),
        "light": None if timeline is None else timeline.model_dump(mode="json", exclude={"track"}),
        "faces": _told_faces(job),
        "done": {
            "picture": None
            if clip is None
            else {
                "width": clip.width,
                "height": clip.height,
                "rate": f"{clip.rate.numerator}/{clip.rate.denominator}",
                "frames": clip.frames,
                "format": clip.format,
                "script": None if job.script is None else job.script.read_text(encoding="utf-8"),
                "chunks": [asdict(record) for record in job.made.records] if job.made else [],
            },
            "sound": None if made.sound is None else made.sound.told | {"target": output.name},
            "kept": [stream.model_dump(mode="json") for stream in made.plan.kept],
            "left_out": made.plan.left_out,
        },
        "verified": verified.as_json(),
        "notes": job.notes,
        "took_s": {name: round(value, 3) for name, value in job.took_s.items()},
    }


@contextmanager
def _timed(took_s: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    took_s[name] = time.monotonic() - began


def _rate(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".") + " fps"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
