"""Faces: found in single pictures, followed through shots, and told frame by frame.

`detect` finds faces in a picture, `follow` joins what it finds to tracks, and `tracks` is what is
kept of them: one file that the filter reads, so that a frame stays a pure function of its window.
"""

from .detect import Detection, Detector, detector
from .tracks import Face, Track, Tracks, TracksError

__all__ = [
    "Detection",
    "Detector",
    "Face",
    "Track",
    "Tracks",
    "TracksError",
    "detector",
]
