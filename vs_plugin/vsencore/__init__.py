"""Encore's picture filters for VapourSynth."""
