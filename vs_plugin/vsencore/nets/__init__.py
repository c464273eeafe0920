"""Encore's own networks: what is learned, and nothing of how it is run."""

from .restorer import Restorer, Shape

__all__ = ["Restorer", "Shape"]
