"""Models: found by name or path, described before they run, never run from their file.

from vsencore import zoo

model = zoo.find("upscaler.safetensors")
network = model.build("cuda", torch.float16)
"""

from .descriptor import Colour, Descriptor, Purpose
from .errors import NotDoneError, ZooError
from .library import find, located, models_dir

__all__ = [
    "Colour",
    "Descriptor",
    "NotDoneError",
    "Purpose",
    "ZooError",
    "find",
    "located",
    "models_dir",
]
