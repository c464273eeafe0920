"""Clipping: music cut off 1, 3 and 6 dB under its peak, restored, beside FFmpeg's adeclip.

The SNR against the music before it was clipped, over the twelve seconds around its highest peak;
the levels are found, not given.
"""

import numpy as np

from encoreaudio.clipping import ClipFinder
from encoreaudio.declip import ClipRepair
from sounds import material

_AROUND_S = 6.0


def table() -> None:
    """Print the table."""
    rows = []
    for name in material.PIECES:
        clean, rate = material.music(name)
        peak = int(np.abs(clean).max(axis=1).argmax())
        clean = clean[max(0, peak - round(_AROUND_S * rate)) : peak + round(_AROUND_S * rate)]
        clean = clean / np.abs(clean).max()
        for over_db in (1, 3, 6):
            level = 10 ** (-over_db / 20)
            heard = np.clip(clean, -level, level)
            found = material.find(ClipFinder(2), heard)
            stage = ClipRepair(rate, 2, found)
            ours, took_s = material.timed(lambda s=stage, h=heard: material.run_stage(s, h))
            before = material.snr_db(clean, heard)
            peer = material.ffmpeg_filter(heard, rate, "adeclip")
            rows.append(
                (
                    name,
                    over_db,
                    100 * found.share,
                    before,
                    material.snr_db(clean, peer) - before,
                    material.snr_db(clean, ours) - before,
                    len(clean) / rate / took_s,
                )
            )
    material.show(
        "Clipping: SNR gained, dB",
        ("music", "dB over", "% clipped", "damaged SNR", "adeclip", "ours", "x real time"),
        rows,
    )
