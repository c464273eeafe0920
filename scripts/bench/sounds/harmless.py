"""Clean music through the whole chain at its defaults: what is left of it, and what was done.

The level is kept (no gain, no limiter), so the difference is what the repairs did. Null residual:
the difference against the music, in dB; -50 and under is the aim.
"""

import tempfile
from pathlib import Path

import soundfile

from encoreaudio import Mastering, Recipe, master
from sounds.material import PIECES, music, show, snr_db


def table() -> None:
    """Print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for piece in PIECES:
            samples, rate = music(piece)
            soundfile.write(folder / "in.wav", samples, rate, subtype="FLOAT")
            report = master(
                folder / "in.wav",
                folder / "out.wav",
                Recipe(Mastering(None, None)),
                subtype="FLOAT",
            )
            out, _ = soundfile.read(folder / "out.wav", always_2d=True)
            clean, _ = soundfile.read(folder / "in.wav", always_2d=True)
            did = "; ".join(f"{done.name}: {done.did}" for done in report.repairs)
            rows.append((piece, -snr_db(clean, out), did))
    show("Do no harm: clean music at auto", ("piece", "null residual dB", "what was done"), rows)
