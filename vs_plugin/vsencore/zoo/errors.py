"""How a model is refused."""

__all__ = ["NotDoneError", "ZooError"]


class ZooError(ValueError):
    """A model that cannot be had or used: one line that says which, why, and what to do."""


class NotDoneError(ZooError):
    """What was asked for was right, and could not be done: the network, the disk."""
