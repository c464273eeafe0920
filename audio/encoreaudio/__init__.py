"""Encore's sound chain."""
