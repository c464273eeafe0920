"""Models: found by name or path, described before they run, never run from their file.

from vsencore import zoo

model = zoo.find("upscaler.safetensors")
network = model.build("cuda", torch.float16)
"""

from .descriptor import Colour, Descriptor, Purpose
from .errors import ZooError
from .library import find, models_dir

__all__ = ["Colour", "Descriptor", "Purpose", "ZooError", "find", "models_dir"]
