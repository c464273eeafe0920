"""`encore models`: the models that Encore can use, fetched, added and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encore.errors import FAILED, JobError, RequestError
from encore.progress import Mode, reporter

if TYPE_CHECKING:
    from vsencore.nets.bundled import Bundled
    from vsencore.zoo.library import Kept
    from vsencore.zoo.registry import Entry

__all__ = ["models"]

models = typer.Typer(
    help="The models Encore can use: in it, in your folder, and to be fetched.",
    rich_markup_mode=None,
)

_HEADINGS = ("name", "for", "scale", "MB", "licence", "where")

Progress = Annotated[Mode, typer.Option("--progress", help="How progress is told, on stderr.")]


@models.command("list")
def models_list() -> None:
    """Every model that has a name: what it is for, and where it is."""
    from vsencore.nets.bundled import bundled
    from vsencore.zoo import library, registry

    here = library.kept()
    names = {one.name for one in here}
    rows = [_HEADINGS, *map(_own_row, bundled().values()), *map(_kept_row, here)]
    rows += [_entry_row(one) for one in registry.entries().values() if one.name not in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())  # noqa: T201


@models.command("get")
def models_get(
    name: Annotated[str, typer.Argument(help="A name that `encore models list` shows.")],
    progress: Progress = "auto",
) -> None:
    """Fetch a model, check its size and sha256, and keep it."""
    from vsencore.zoo import fetch, registry

    if name not in registry.entries() and _separates(name):
        _get_stems(name)
        return
    with _asked():
        with reporter(progress).stage(name, unit="MB") as update:
            model = fetch.get(name, update)
        print(f"{model.name}: {model.path}")  # noqa: T201


@models.command("add")
def models_add(
    file: Annotated[Path, typer.Argument(help="A .safetensors or .pth file.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name; else the file's.")] = None,
) -> None:
    """Check a model of your own, and keep it, as .safetensors, under a name."""
    from vsencore.zoo import library

    with _asked():
        model = library.keep(file, name)
        print(f"{model.name}: {model.path}")  # noqa: T201


@models.command("check")
def models_check(
    name: Annotated[str | None, typer.Argument(help="One model; else all that are here.")] = None,
) -> None:
    """Verify every model that is here: size, sha256, and that it runs."""
    from vsencore.nets.bundled import bundled
    from vsencore.zoo import ZooError, library

    own = [one for one in bundled().values() if name in (None, one.name)]
    with _asked():
        chosen = [one for one in library.kept() if name in (None, one.name)]
        if name is not None and not chosen and not own:
            library.find(name)
    checks = [(f"{one.name} ({one.kind})", one.verify) for one in own]
    checks += [(one.name, partial(library.verify, one)) for one in chosen]
    wrong = False
    for label, verify in checks:
        try:
            print(f"{label}: {verify()}")  # noqa: T201
        except ZooError as error:
            wrong = True
            print(f"{label}: WRONG: {error}")  # noqa: T201
    if not checks:
        print("no models are here; see: encore models list")  # noqa: T201
    if wrong:
        raise typer.Exit(FAILED)


def _separates(name: str) -> bool:
    """Whether a name is one of the nets that take sound apart."""
    from encoreaudio.weights import names

    return name in names()


def _get_stems(name: str) -> None:
    """Fetch a separation model into the cache that demucs itself uses."""
    from encoreaudio.error import SoundError
    from encoreaudio.weights import fetch

    try:
        files = fetch(name)
    except SoundError as error:
        raise JobError(str(error)) from error
    for file in files:
        print(f"{name}: {file}")  # noqa: T201


@contextmanager
def _asked() -> Iterator[None]:
    """What the zoo refuses, as the command line says it."""
    from vsencore.zoo import NotDoneError, ZooError

    try:
        yield
    except NotDoneError as error:
        raise JobError(str(error)) from error
    except ZooError as error:
        raise RequestError(str(error)) from error


def _own_row(model: Bundled) -> tuple[str, ...]:
    size = _megabytes(model.size_bytes)
    return (model.name, f"restore {model.kind}", "x2", size, "MIT", "comes with Encore")


def _kept_row(model: Kept) -> tuple[str, ...]:
    from vsencore.zoo import ZooError

    where = str(model.path)
    size = _megabytes(model.path.stat().st_size)
    try:
        record = model.record
    except ZooError:
        return (model.name, "?", "?", size, "?", f"damaged; see: encore models check {model.name}")
    if record is None:
        return (model.name, "?", "?", size, "not stated", where)
    use = _use(record.purpose, record.scale)
    return (model.name, use, _scale(record.scale), size, record.licence, where)


def _entry_row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.name,
        _use(entry.purpose, entry.scale),
        _scale(entry.scale),
        _megabytes(entry.size_bytes),
        entry.licence,
        f"not here; run: encore models get {entry.name}",
    )


def _use(purpose: str, scale: int | None) -> str:
    """What a model is for; of those of faces only some give a picture, as `faces.method` wants."""
    if purpose != "face":
        return purpose
    return "look at faces" if scale is None else "restore faces"


def _scale(scale: int | None) -> str:
    return "-" if scale is None else f"x{scale}"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f}"
