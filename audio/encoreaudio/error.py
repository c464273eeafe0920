"""The one error that a person sees."""

__all__ = ["SoundError"]


class SoundError(ValueError):
    """One lower-case line: what was wrong, where, and what to do about it."""
