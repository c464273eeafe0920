"""Cost: what the lock and relight cost beside the network, at 1080 lines out of 576.

Core milliseconds a frame are processor time, which tells nearly the same on a machine that others
use; all chains run in turn several times, and each shows its least. The target is 15 % of the
network's chain for both together.
"""

import time

import vapoursynth as vs

import vsencore

__all__ = ["HEAD", "rows"]

HEAD = f"{'chain':<34}{'core ms':>9}{'more':>9}{'of network':>12}"
_LINES = 1080
_WARM = 3


def rows(quick: bool) -> list[str]:
    """A line a chain, on the device that "auto" chooses."""
    frames, rounds = (4, 3) if quick else (12, 5)
    source = _recording(rounds * len(_CHAINS) * (frames + _WARM) + 8)
    least = dict.fromkeys(_CHAINS, float("inf"))
    first = 0
    for _ in range(rounds):
        for name in _CHAINS:
            least[name] = min(least[name], _core_ms(_built(name, source), first, frames))
            first += frames + _WARM
    alone = least["remaster"]
    return [
        f"{name:<34}{ms:>9.0f}{ms - alone:>9.0f}{(ms - alone) / alone:>12.1%}"
        for name, ms in least.items()
    ]


_CHAINS = ("remaster", "remaster, lock", "remaster, lock, relight")


def _built(name: str, source: vs.VideoNode) -> vs.VideoNode:
    lock = 1.0 if "lock" in name else 0.0
    made = vsencore.remaster(source, _LINES, lock=lock)
    return vsencore.relight(made, shadows=0.2) if "relight" in name else made


def _core_ms(clip: vs.VideoNode, first: int, frames: int) -> float:
    """Processor time of a frame; other frames each time, so that no cache answers."""
    for n in range(first, first + _WARM):
        clip.get_frame(n).close()
    began = time.process_time()
    for n in range(first + _WARM, first + _WARM + frames):
        clip.get_frame(n).close()
    return (time.process_time() - began) / frames * 1000


def _recording(fields: int) -> vs.VideoNode:
    """Moving stripes as woven fields of PAL."""
    blank = vs.core.std.BlankClip(
        width=720, height=576, format=vs.YUV420P8, length=-(-fields // 2), keep=True
    )
    drawn = blank.akarin.Expr(["X 3 * Y 5 * + N 7 * + 220 % 16 +", "X Y + N + 200 % 28 +"])
    return drawn.std.SetFrameProps(
        _Matrix=5, _Primaries=5, _Transfer=6, _Range=0, _FieldBased=2, _SARNum=64, _SARDen=45
    )
