"""Encore's picture filters for VapourSynth: plain functions from a clip to a clip.

    import vapoursynth as vs
    import vsencore

    clip = vs.core.bs.VideoSource("concert.vob")
    clip = vsencore.deinterlace(clip)
    clip = vsencore.restore(clip, strength=0.4)
    clip = vsencore.upscale(clip, height=1080)
    clip.set_output()

Facts (field order, colour, sample aspect, time) are read from frame properties and true in the
result; `tag` writes those that a source filter could not know.
"""

from typing import TYPE_CHECKING, Any

from .fields import deinterlace, inverse_telecine
from .lock import lock
from .relight import relight
from .restore import restore
from .tags import tag
from .upscale import upscale

if TYPE_CHECKING:
    from .engine.bridge import chain, scenes
    from .face.filter import faces
    from .learned import remaster
    from .models import model

__all__ = [
    "chain",
    "deinterlace",
    "faces",
    "inverse_telecine",
    "lock",
    "model",
    "relight",
    "remaster",
    "restore",
    "scenes",
    "tag",
    "upscale",
]

# What stands on torch is imported when it is asked for: the classical filters start without it.
_ON_TORCH = {
    "chain": ".engine.bridge",
    "scenes": ".engine.bridge",
    "faces": ".face.filter",
    "model": ".models",
    "remaster": ".learned",
}


def __dir__() -> list[str]:
    return [*globals(), *_ON_TORCH]


def __getattr__(name: str) -> Any:
    if name not in _ON_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(_ON_TORCH[name], __name__), name)
    globals()[name] = found
    return found
