"""What happens to a recording, drawn once and written down: the same recipe, the same bytes.

The ranges are wide on purpose: a network that has seen one blur or one codec only sharpens the
others wrongly. Most draws look like an ordinary DVD or broadcast; `heavy` ones add a tape's faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Codec", "Damage", "Kernel", "Light", "Recipe", "System", "draw"]

type System = Literal["pal", "ntsc"]
type Light = Literal["calm", "show", "strobe"]
type Damage = Literal["light", "heavy"]
type Kernel = Literal["area", "bicubic", "lanczos"]
type Codec = Literal["mpeg2", "dv", "h264"]

_LIGHTS: tuple[Light, ...] = ("calm", "show", "strobe")
_DAMAGES: tuple[Damage, ...] = ("light", "heavy")
_KERNELS: tuple[Kernel, ...] = ("area", "bicubic", "lanczos")
_CODECS: tuple[Codec, ...] = ("mpeg2", "h264", "dv")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that was drawn. The defaults do no harm but the scaling and a mild codec."""

    seed: int
    """Of the noise and the faults; one seed, one recording."""
    system: System = "pal"
    top_first: bool = True
    interlaced: bool = True
    light: Light = "calm"
    light_seed: int = 0
    """Of the rig: its lamps, colours, cues, strobe and exposure."""
    damage: Damage = "light"
    motion_blur: float = 0.0
    """Share of each of the two neighbouring moments that leaks into a moment, 0..0.25."""
    blur_px: float = 0.0
    """Sigma of the camera's Gaussian, SD pixels."""
    kernel: Kernel = "bicubic"
    vertical_lowpass: float = 0.0
    """1 is [1 2 1]/4 on frame lines, before the lines are shared out to fields."""
    halo: float = 0.0
    """Gain of the sharpening's overshoot across; half of it goes down the picture."""
    halo_px: float = 1.0
    """Sigma of what the sharpening takes away, SD pixels."""
    tape_blur_px: float = 0.0
    """Sigma of the tape's luma bandwidth along the lines, SD pixels."""
    luma_noise: float = 0.0
    """Deviation at mid grey, 8-bit codes; more in the dark."""
    luma_noise_px: float = 0.6
    """How far the noise is smeared along the lines, sigma in pixels."""
    chroma_noise: float = 0.0
    chroma_noise_px: float = 1.5
    chroma_delay_px: float = 0.0
    """How far chroma lags to the right, luma pixels."""
    chroma_bleed_px: float = 0.0
    """Sigma of chroma's bandwidth along the lines, luma pixels."""
    line_jitter_px: float = 0.0
    """Deviation of where a line begins."""
    dropouts: float = 0.0
    """Mean number in a field."""
    head_switch_lines: int = 0
    """Lines torn at the bottom of each field."""
    dot_crawl: float = 0.0
    """Share of the chroma subcarrier that is left in luma, 0..1."""
    codec: Codec = "mpeg2"
    kbps: int = 8000
    """Ignored by DV, which has one rate."""
    gop: int = 12

    @property
    def height(self) -> int:
        """Lines of an SD frame."""
        return 576 if self.system == "pal" else 480

    @property
    def width(self) -> int:
        """Samples of an SD line."""
        return 720

    @property
    def moments_hz(self) -> float:
        """Moments a second: fields when interlaced, frames when not."""
        frames = 25.0 if self.system == "pal" else 30000 / 1001
        return 2 * frames if self.interlaced else frames


def draw(
    rng: np.random.Generator,
    *,
    system: System | None = None,
    light: Light | None = None,
    damage: Damage | None = None,
    interlaced: bool = True,
) -> Recipe:
    """A recipe as chance has it; what is given is kept."""
    system = system or ("pal" if rng.random() < 0.6 else "ntsc")
    light = light or _LIGHTS[rng.choice(3, p=(0.35, 0.45, 0.20))]
    damage = damage or _DAMAGES[rng.choice(2, p=(0.6, 0.4))]
    heavy = damage == "heavy"
    taped = heavy and rng.random() < 0.75
    codec = _CODECS[rng.choice(3, p=(0.74, 0.16, 0.10) if system == "pal" else (0.8, 0.2, 0.0))]
    top_first = bool(rng.random() < (0.8 if system == "pal" else 0.6)) and codec != "dv"
    return Recipe(
        seed=int(rng.integers(2**31)),
        system=system,
        top_first=top_first,
        interlaced=interlaced,
        light=light,
        light_seed=int(rng.integers(2**31)),
        damage=damage,
        motion_blur=_sometimes(rng, 0.5, 0.02, 0.20),
        blur_px=_blur(rng),
        kernel=_KERNELS[rng.choice(3)],
        vertical_lowpass=_lowpass(rng),
        halo=_sometimes(rng, 0.6, 0.05, 0.9 if heavy else 0.6),
        halo_px=round(float(rng.uniform(0.7, 1.8)), 3),
        tape_blur_px=_sometimes(rng, 0.6, 0.2, 1.2) if taped else 0.0,
        luma_noise=_between(rng, 1.2, 6.0) if heavy else _between(rng, 0.3, 2.4),
        luma_noise_px=round(float(rng.uniform(0.3, 1.2)), 3),
        chroma_noise=_between(rng, 0.8, 4.5) if heavy else _between(rng, 0.2, 1.8),
        chroma_noise_px=round(float(rng.uniform(0.8, 2.5)), 3),
        chroma_delay_px=_sometimes(rng, 0.7, 0.2, 3.0) if taped else _sometimes(rng, 0.3, 0.1, 0.8),
        chroma_bleed_px=_sometimes(rng, 0.8, 0.6, 3.5) if taped else _sometimes(rng, 0.4, 0.3, 1.2),
        line_jitter_px=_sometimes(rng, 0.5, 0.05, 0.5) if taped else 0.0,
        dropouts=_sometimes(rng, 0.4, 0.05, 2.0) if taped else 0.0,
        head_switch_lines=int(rng.integers(3, 10)) if taped and rng.random() < 0.35 else 0,
        dot_crawl=_sometimes(rng, 0.35, 0.1, 0.6) if taped else _sometimes(rng, 0.08, 0.05, 0.3),
        codec=codec,
        kbps=_kbps(rng, codec),
        gop=int(rng.integers(12, 16)),
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Even in the logarithm: the small ones are the common ones."""
    return round(float(low * (high / low) ** rng.random()), 3)


def _sometimes(rng: np.random.Generator, share: float, low: float, high: float) -> float:
    drawn, there = float(rng.uniform(low, high)), rng.random() < share
    return round(drawn, 3) if there else 0.0


def _blur(rng: np.random.Generator) -> float:
    """A tenth is pin-sharp, a fifth is soft, the rest is near 0.3."""
    lot, near, soft = rng.random(), abs(rng.normal(0.3, 0.12)), rng.uniform(0.4, 0.9)
    return 0.0 if lot < 0.1 else round(float(soft if lot < 0.3 else min(near, 0.9)), 3)


def _lowpass(rng: np.random.Generator) -> float:
    lot, between = rng.random(), float(rng.random())
    return 0.0 if lot < 0.25 else 1.0 if lot < 0.5 else round(between, 3)


def _kbps(rng: np.random.Generator, codec: Codec) -> int:
    low, high = {"mpeg2": (2500, 8000), "h264": (2000, 5000), "dv": (25000, 25000)}[codec]
    return int(rng.triangular(low, 0.35 * low + 0.65 * high, high)) if low < high else low
