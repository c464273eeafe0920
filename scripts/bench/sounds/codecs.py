"""True peaks after a lossy codec: what is left under 0 dBTP of the ceiling that a master got.

Every piece is mastered twice: to the streaming preset (-14 LUFS, one linear gain), and driven 6 dB
into the limiter, which is the worst a loud band gives. Each master is encoded as `encore` does it,
decoded, and measured at eight times its rate. "rise" is the highest over all pieces of decoded over
mastered; "decoded" the highest peak where the ceiling is `ceiling_for` of the codec. Pieces fade in
and out, as a show does: a wave cut off at full height is another test. `ceiling_for` was set by
the rises on these pieces: this shows that it holds here, and not that it holds everywhere.
"""

import subprocess
from functools import cache

import imageio_ffmpeg
import numpy as np
import soxr

from encoreaudio.limiter import Limiter
from encoreaudio.loudness import Loudness
from encoreaudio.targets import ceiling_for
from sounds.material import PIECES, Samples, music, run_stage, show

_CODECS = [("aac", kbps) for kbps in (320, 256, 192, 128)]
_CODECS += [("opus", kbps) for kbps in (320, 256, 192, 128)]
_ENCODERS = {"aac": "aac", "opus": "libopus"}
_CEILING_DBTP = -1.0
_FADE_S = 0.1
_SECONDS = 10


def table() -> None:
    """Print the rise, and the highest decoded peak, of each codec and bit rate."""
    gains = {}
    for name in PIECES:
        samples, rate = music(name)
        meter = Loudness(rate, ("FL", "FR"))
        meter.add(samples)
        loudness = meter.finish()
        assert loudness is not None
        gains[name] = (-14 - loudness, 12.0)  # the highest sample of a piece is at -6 dBFS
    rows = []
    for codec, kbps in _CODECS:
        ceiling = ceiling_for(codec, kbps, _CEILING_DBTP)
        highest = []
        for drive in (0, 1):
            each = [_peaks(name, gains[name][drive], ceiling, codec, kbps) for name in PIECES]
            highest.append((max(b - a for a, b in each), max(b for _, b in each)))
        (rise, decoded), (driven_rise, driven) = highest
        rows.append((f"{codec} {kbps}", ceiling, rise, decoded, driven_rise, driven))
    head = ("codec", "ceiling dBTP", "rise dB", "decoded dBTP", "rise, driven", "decoded, driven")
    show("True peaks after decoding, the highest of eight pieces", head, rows)


def _peaks(name: str, gain_db: float, ceiling: float, codec: str, kbps: int) -> tuple[float, float]:
    """The true peak of a master before and after the codec."""
    samples, rate, peak_db = _master(name, gain_db, ceiling)
    return peak_db, _true_peak_db(_decoded(samples, rate, codec, kbps))


@cache
def _master(name: str, gain_db: float, ceiling: float) -> tuple[Samples, int, float]:
    samples, rate = music(name)
    samples = samples[: _SECONDS * rate] * 10 ** (gain_db / 20)
    master = run_stage(Limiter(rate, 2, ceiling), samples)
    ends = np.minimum(np.arange(len(master)), np.arange(len(master))[::-1]) / (_FADE_S * rate)
    master = master * np.sin(np.pi / 2 * np.minimum(1, ends))[:, np.newaxis] ** 2
    return master, rate, _true_peak_db(master)


def _decoded(samples: Samples, rate: int, codec: str, kbps: int) -> Samples:
    raw = ["-f", "f64le", "-ar", str(rate), "-ac", "2", "-i", "-"]
    encode = [*raw, "-c:a", _ENCODERS[codec], "-b:a", f"{kbps}k", "-f", "matroska", "-"]
    coded = _ffmpeg(encode, np.ascontiguousarray(samples, dtype="<f8").tobytes())
    return np.frombuffer(_ffmpeg(["-i", "-", "-f", "f64le", "-"], coded), "<f8").reshape(-1, 2)


def _ffmpeg(arguments: list[str], given: bytes) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def _true_peak_db(samples: Samples) -> float:
    padded = np.pad(samples.astype(np.float32), ((4000, 4000), (0, 0)))
    return float(20 * np.log10(np.abs(soxr.resample(padded, 1, 8, quality="HQ")).max()))
