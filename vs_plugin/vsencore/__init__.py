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

from .engine.bridge import chain, scenes
from .fields import deinterlace, inverse_telecine
from .model import model
from .restore import restore
from .tags import tag
from .upscale import upscale

__all__ = [
    "chain",
    "deinterlace",
    "inverse_telecine",
    "model",
    "restore",
    "scenes",
    "tag",
    "upscale",
]
