"""The command line: `encore remaster`, `scan`, `script`, `audio`, `demo`, `presets`, `doctor`.

Exit codes: 0 done and verified, 1 the job failed, 2 the request was wrong, 130 interrupted.
Every error is one line on stderr.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

# The sound chain keeps both of two cores busy by itself; threads inside its small matrix products
# would only wait for each other. Read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer
from typer.exceptions import TyperException

from encore import __version__
from encore.errors import DONE, FAILED, INTERRUPTED, WRONG, EncoreError, RequestError
from encore.models import models
from encore.progress import Mode, reporter

__all__ = ["app", "main"]

_ANSWERS = ("scan", "script", "presets", "models", "doctor", "--help")

app = typer.Typer(
    name="encore",
    help="Remasters old concert recordings, picture and sound.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
presets = typer.Typer(help="The presets that come with Encore.", rich_markup_mode=None)
app.add_typer(presets, name="presets")
app.add_typer(models, name="models")
workers_app = typer.Typer(help="This machine as a worker of others' jobs.", rich_markup_mode=None)
app.add_typer(workers_app, name="workers")

Preset = Annotated[str, typer.Option(help="A preset's name, or the path of a .toml file.")]
Settings = Annotated[
    list[str], typer.Option("--set", help="One setting over the preset's, as key=value.")
]
Progress = Annotated[Mode, typer.Option("--progress", help="How progress is told, on stderr.")]
Work = Annotated[Path | None, typer.Option(help="Where work files go, and are kept.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
Range = Annotated[
    str | None, typer.Option("--range", help="Only this part, A-B, as in 90-120 or 1:30-2:00.")
]
Device = Annotated[
    str, typer.Option(help="Where models run: auto, cpu, cuda or cuda:N; the rest runs on the CPU.")
]


Workers = Annotated[
    int | None, typer.Option(help="How many chunks are made at once on this machine.", min=1)
]
Cluster = Annotated[
    str | None, typer.Option(help="The address of a Dask scheduler whose workers make the chunks.")
]


@app.command()
def remaster(
    source: Annotated[str, typer.Argument(help="A file, a VIDEO_TS folder, or a disc image.")],
    output: Annotated[Path, typer.Argument(help=".mkv, .mp4, .mov; or .flac, .wav for sound.")],
    preset: Preset = "auto",
    settings: Settings = [],  # noqa: B006 -- typer reads the default, and copies it
    part: Range = None,
    device: Device = "auto",
    workers: Workers = None,
    cluster: Cluster = None,
    work: Work = None,
    overwrite: Overwrite = False,
    progress: Progress = "auto",
) -> None:
    """Remaster a recording: picture and sound, verified."""
    from encore.job import Request, parse_range

    _check_device(device)
    _check_hands(workers, cluster)
    range_s = None if part is None else parse_range(part)
    request = Request(
        Path(source),
        output,
        preset,
        settings,
        range_s,
        work,
        overwrite,
        device,
        workers=workers,
        cluster=cluster,
    )
    _remaster(request, progress)


@app.command()
def audio(
    source: Annotated[str, typer.Argument(help="A sound file, or a film.")],
    output: Annotated[Path, typer.Argument(help=".flac, .wav, .w64 or .rf64.")],
    preset: Preset = "audio-only",
    settings: Settings = [],  # noqa: B006
    part: Range = None,
    align: Annotated[
        Path | None,
        typer.Option(
            "--align", help="Put SOURCE on this recording's clock (the film that it belongs to)."
        ),
    ] = None,
    fill: Annotated[
        bool, typer.Option("--fill", help="With --align: its sound where SOURCE has nothing.")
    ] = False,
    stems: Annotated[
        Path | None, typer.Option("--stems", help="A folder for the stems, where there are any.")
    ] = None,
    device: Device = "auto",
    work: Work = None,
    overwrite: Overwrite = False,
    progress: Progress = "auto",
) -> None:
    """Remaster the sound alone."""
    from encore.encode import SOUND_SUFFIXES
    from encore.job import Request, parse_range

    if output.suffix.lower() not in SOUND_SUFFIXES:
        allowed = ", ".join(SOUND_SUFFIXES)
        raise RequestError(f"the output {output.name!r} must end in one of {allowed}")
    _check_device(device)
    if fill and align is None:
        raise RequestError("--fill wants --align, whose sound it fills in")
    range_s = None if part is None else parse_range(part)
    request = Request(
        Path(source),
        output,
        preset,
        tuple(settings),
        range_s,
        work,
        overwrite,
        device,
        align,
        fill,
        stems,
    )
    _remaster(request, progress)


@app.command()
def scan(
    source: Annotated[str, typer.Argument(help="A file, a VIDEO_TS folder, or a disc image.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scan here; - is stdout.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Look at the whole file.")] = False,
    light: Annotated[
        Path | None,
        typer.Option(help="Draw the show's light into this .png or .svg, or write it as .json."),
    ] = None,
    cuts: Annotated[
        Path | None, typer.Option(help="Write the cuts into this .json, .txt, .edl or .otio.")
    ] = None,
    faces: Annotated[
        Path | None, typer.Option(help="Follow the faces, and write them into this .json.")
    ] = None,
    work: Work = None,
    progress: Progress = "auto",
) -> None:
    """Tell what a recording is, and what is wrong with it."""
    from rich.console import Console

    from encore import scan as scanning
    from encore.decoding import decoded_throughout
    from encore.source import open_source
    from encore.table import show

    if json_file is not None:
        _check_text_target(json_file, source, ".json")
    _check_extras(light, cuts, faces, source)
    said = reporter(progress)
    with _work_folder(work) as folder:
        found = scanning.scan(
            open_source(source, folder, said), work=folder, full=full, reporter=said
        )
        if full:
            found = decoded_throughout(found, said)
        more = _extras(found, folder, light, cuts, faces, said)
    text = found.model_dump_json(indent=2)
    if json_file is None:
        show(found, Console(), more)
    elif str(json_file) == "-":
        print(text)  # noqa: T201 -- the answer itself
    else:
        _write_text(json_file, text + "\n")
        show(found, Console(stderr=True), more)


@app.command()
def encode(
    script: Annotated[Path, typer.Argument(help="A .vpy: output 0 picture, output 1 sound.")],
    output: Annotated[Path, typer.Argument(help=".mkv, .mp4, .mov.")],
    preset: Annotated[str, typer.Option(help="A preset, for its encoder and its chunks.")] = "",
    settings: Settings = [],  # noqa: B006
    workers: Workers = None,
    cluster: Cluster = None,
    work: Work = None,
    overwrite: Overwrite = False,
    progress: Progress = "auto",
) -> None:
    """Encode any VapourSynth script in chunks: resumable, verified."""
    from encore.encoding import Request, encode_script

    _check_hands(workers, cluster)
    request = Request(script, output, preset, settings, workers, cluster, work, overwrite)
    encode_script(request, reporter(progress))


@app.command()
def status(
    work: Annotated[Path, typer.Argument(help="A job's work folder, or the output it makes.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell how a job stands, from another terminal or machine."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from encore.chunked.state import now_of, shown
    from encore.workfolder import holder, is_held

    work = work.absolute()
    beside = work.with_name(work.name + ".encore")
    folder = work if work.is_dir() or not beside.is_dir() else beside
    state, held = now_of(folder), is_held(folder)
    if not held:
        state.end()
    if as_json:
        print(json.dumps({"running": held, **asdict(state)}))  # noqa: T201
        return
    Console().print(shown(state))
    what = f"{holder(folder)} works on it" if held else "nobody works on it now"
    print(f"{state.output}: {what}")  # noqa: T201


@app.command()
def script(
    source: Annotated[str, typer.Argument(help="A file, a VIDEO_TS folder, or a disc image.")],
    output: Annotated[Path | None, typer.Option("-o", help="The .vpy; else stdout.")] = None,
    preset: Preset = "auto",
    settings: Settings = [],  # noqa: B006
    work: Work = None,
    progress: Progress = "auto",
) -> None:
    """Write the picture chain as a script for vspipe and every VapourSynth editor."""
    from encore import scan as scanning
    from encore.cache import cache_dir
    from encore.chunked.identity import content
    from encore.job import check_models, prepare
    from encore.looks import look
    from encore.script import picture_script
    from encore.source import open_source

    if output is not None:
        _check_text_target(output, source, ".vpy")
    said = reporter(progress)
    # The script names files here (the index, a disc's remux), so they must outlive this command.
    folder = _made(work if work is not None else cache_dir() / "scripts")
    opened = open_source(source, folder, said)
    found = scanning.scan(opened, work=folder, reporter=said)
    _, chosen = prepare(found, preset, settings, said)
    check_models(chosen)
    looked = look(found, chosen, folder, said, content(opened.originals))
    text = picture_script(found, chosen, looks=looked.script)
    if output is None:
        print(text, end="")  # noqa: T201 -- the answer itself
    else:
        _write_text(output, text)
        said.say(f"{output}: written; try: vspipe --info {output}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where it goes.")] = Path("encore-demo"),
    seconds: Annotated[float, typer.Option(help="How long the concert is.", min=2, max=60)] = 6.0,
    progress: Progress = "auto",
) -> None:
    """Draw and play a little concert, record it badly, and remaster it."""
    from encore import demo as show
    from encore.job import Request
    from encore.job import remaster as run

    said = reporter(progress)

    def remastered(source: Path, output: Path) -> object:
        quick = ("encode.preset=veryfast",)
        request = Request(source, output, "concert-dvd-pal", quick, overwrite=True)
        return run(request, said)

    show.run(out, seconds=seconds, device="cpu", reporter=said, remaster=remastered)


@app.command()
def doctor() -> None:
    """Check everything that Encore needs, and say the cure of what is missing."""
    from rich.console import Console

    from encore import doctor as examination

    findings = examination.examine()
    examination.show(findings, Console())
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(FAILED)


@presets.command("list")
def presets_list() -> None:
    """The names of the presets, and what each is for."""
    from encore.preset import load, names

    for name in names():
        title = "chosen from the scan, and said" if name == "auto" else load(name).title
        print(f"{name:<24} {title}")  # noqa: T201


@presets.command("show")
def presets_show(name: str) -> None:
    """Every setting of a preset, as --set names it."""
    from encore.preset import flatten, load

    for key, value in flatten(load(name)).items():
        print(f"{key} = {_toml(value)}")  # noqa: T201


@presets.command("check")
def presets_check(path: Annotated[str, typer.Argument(help="A .toml file, or a name.")]) -> None:
    """Say whether a preset file is right."""
    from encore.preset import load

    print(f"{path}: right ({load(path).title or 'no title'})")  # noqa: T201


@workers_app.command("start")
def workers_start(
    address: Annotated[
        str | None, typer.Argument(help="A Dask scheduler's address; without one, one is started.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="How many; else one for each GPU, or every two cores.", min=1)
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where the scheduler that is started listens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="And at which port.", min=1, max=65535)] = 8786,
    device: Device = "auto",
    progress: Progress = "auto",
) -> None:
    """Work for jobs that are begun with --cluster, until Ctrl-C."""
    from encore.chunked.crew import gpus_of
    from encore.workers import start

    _check_device(device)
    with _TemporaryFolder() as scratch:
        code = start(
            address,
            host=host,
            port=port,
            count=count,
            gpus=len(gpus_of(device)),
            scratch=scratch,
            reporter=reporter(progress),
        )
    raise typer.Exit(code)


def main() -> NoReturn:
    """Run the command line, and leave with its exit code."""
    _steady_memory()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    logging.getLogger().setLevel(logging.ERROR)
    arguments = sys.argv[1:]
    if arguments in ([], ["presets"], ["models"], ["workers"]):
        arguments = [*arguments, "--help"]
    try:
        answer = app(arguments, standalone_mode=False)
        code = answer if isinstance(answer, int) else DONE
    except EncoreError as error:
        code = _say(str(error), error.exit_code)
    except TyperException as error:
        code = _say(str(getattr(error, "format_message", error.__str__)()), WRONG)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our answer had enough of it; whoever read our progress left a job undone.
        code = DONE if arguments[0] in _ANSWERS else FAILED
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    except Exception as error:
        code = _say(f"{_unforeseen(error)}", FAILED)
    if code == INTERRUPTED:
        _say("interrupted; nothing was given its final name. The same command goes on", code)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _steady_memory() -> None:
    """Have glibc serve all threads from one heap, and large blocks from it too.

    Each thread's own heap would keep what it once used, and blocks of sound that are mapped and
    unmapped a hundred times a second cost more than their arithmetic. Elsewhere nothing happens.
    """
    import ctypes

    arenas, mapped, trimmed, padding = -8, -3, -1, -2  # mallopt(3)
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for name, value in (
            (arenas, 1),
            (mapped, 32 << 20),
            (trimmed, 1 << 30),
            (padding, 16 << 20),
        ):
            mallopt(name, value)


def _remaster(request: Any, progress: Mode) -> None:
    from encore.job import remaster as run

    run(request, reporter(progress))


def _check_device(device: str) -> None:
    kind, _, number = device.partition(":")
    if device in ("auto", "cpu", "cuda") or (kind == "cuda" and number.isdigit()):
        if kind != "cuda":
            return
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) < count:
            return
        raise RequestError(f"--device {device}: torch sees {count} CUDA devices; use cpu or auto")
    raise RequestError(f"--device is auto, cpu, cuda or cuda:N, not {device!r}")


def _check_extras(light: Path | None, cuts: Path | None, faces: Path | None, source: str) -> None:
    """Refuse what a scan could not write before it takes its time."""
    for path, suffixes in ((light, (".png", ".svg", ".json")), (faces, (".json",))):
        if path is not None and path.suffix.lower() not in suffixes:
            raise RequestError(f"{path.name!r} must end in {' or '.join(suffixes)}")
    given = [path.absolute() for path in (light, cuts, faces) if path is not None]
    if len(set(given)) < len(given):
        raise RequestError("--light, --cuts and --faces want a file each")
    for path in (light, cuts, faces):
        if path is not None:
            _check_text_target(path, source, path.suffix.lower())
            if not path.absolute().parent.is_dir():
                raise RequestError(f"there is no folder {path.absolute().parent}")
    if cuts is not None:
        from encore.cut_lists import check

        check(cuts)


def _extras(
    found: Any, folder: Path, light: Path | None, cuts: Path | None, faces: Path | None, said: Any
) -> list[tuple[str, str]]:
    """What was asked for besides the scan: written, and told as rows of its table."""
    if (light or cuts or faces) and found.picture is None:
        raise RequestError(f"{found.source} has no picture")
    rows: list[tuple[str, str]] = []
    begins = None
    if light is not None or cuts is not None:
        from encore import cut_lists, light_page, lights
        from encore.scan import source_clip

        told = lights.of_clip(source_clip(found), found.picture, said)
        begins = told.cuts
        rows += lights.summary(told)
        if cuts is not None:
            with _whole(cuts) as part:
                cut_lists.export(told, part, source=Path(found.source))
        if light is not None and light.suffix.lower() == ".json":
            _write_text(light, told.model_dump_json() + "\n")
        elif light is not None:
            with _whole(light) as part:
                light_page.draw(told, part, title=Path(found.source).name)
    if faces is not None:
        from encore.face_scan import faces_of, summary
        from encore.looks import save

        tracks = faces_of(found, folder, said, cuts=begins)
        with _whole(faces) as part:
            save(tracks, part)
        rows += summary(tracks, found.picture)
    return rows


def _check_hands(workers: int | None, cluster: str | None) -> None:
    if workers is not None and cluster is not None:
        raise RequestError("--workers is about this machine; with --cluster its workers count")


def _work_folder(work: Path | None) -> Any:
    from contextlib import nullcontext

    if work is None:
        return _TemporaryFolder()
    return nullcontext(_made(work))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


class _TemporaryFolder:
    """A folder for the time of a command, as a Path."""

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="encore-")
        return Path(self._folder.name)

    def __exit__(self, *exc: object) -> None:
        self._folder.cleanup()


def _check_text_target(path: Path, source: str, suffix: str) -> None:
    """Refuse to write a script or a scan over a recording, or over anything of another kind."""
    if path.exists() and os.path.exists(source) and path.samefile(source):
        raise RequestError(f"{path} is the source itself; name another file")
    if path.exists() and path.suffix.lower() != suffix:
        raise RequestError(f"{path} exists and is no {suffix} file; name another")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Where to write a file that is to be there whole or not at all."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise RequestError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _write_text(path: Path, text: str) -> None:
    with _whole(path) as part:
        part.write_text(text, encoding="utf-8")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _say(text: str, code: int) -> int:
    print(f"encore: {' '.join(text.split())}", file=sys.stderr)  # noqa: T201
    return code


def _unforeseen(error: Exception) -> str:
    """An error that nobody foresaw: one line, and the trace in a file for whoever mends it."""
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="encore-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        traceback.print_exception(error, file=log)
        log.write(f"\nencore {__version__}, {' '.join(sys.argv)}\n")
    return (
        f"{type(error).__name__}: {error} (this is a fault of Encore; the trace is in {log.name})"
    )


if __name__ == "__main__":
    main()
