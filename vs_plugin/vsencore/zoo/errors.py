"""How a model is refused."""

__all__ = ["ZooError"]


class ZooError(ValueError):
    """A model that cannot be had or used: one line that says which, why, and what to do."""
