"""The joint of Encore: looks at a recording, runs picture and sound, and joins the result."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("encore-remaster")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0"
