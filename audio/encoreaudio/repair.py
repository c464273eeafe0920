"""Which repairs a recording gets: what was asked for, and what was found.

All finders hear the recording once. Each repair is then left out, done in full where something was
found ("auto"), or done by the amount asked for. The order is that in which the damage came about,
turned round: what the last machine clipped is restored before what the tape did before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from .azimuth import Azimuth, AzimuthFinder, AzimuthRepair
from .bandwidth import Bandwidth, BandwidthFinder, BandwidthRepair
from .clicks import Click, ClickRepair
from .clipping import ClipFinder, Clipping
from .declip import ClipRepair
from .dehum import HumRepair
from .error import SoundError
from .hiss import HissRepair
from .hum import Hum, HumFinder
from .noise import NoiseFinder, NoisePrint
from .polarity import Polarity, PolarityFinder, PolarityRepair
from .reverb import Reverb, ReverbFinder, ReverbRepair
from .rumble import HighPass, Rumble, RumbleFinder
from .signal import Block, Finder, Stage

__all__ = ["UNTOUCHED", "Amount", "Findings", "Listening", "Repair", "Repaired", "Repairs"]

type Amount = float | Literal["auto"]

_OFFSET_ONLY_HZ = 5.0
_HISS_DBFS = -90.0  # the dither of 16 bits lies at -96
_INVENTED = ("reverb", "bandwidth")  # the hall is part of the show, and harmonics are invented


@dataclass(frozen=True)
class Repair:
    """How much of each damage is repaired: 0 (left as it is) to 1, or "auto".

    "auto" repairs in full what was found, and leaves out what was not; of reverb and bandwidth it
    repairs nothing. polarity: an inverted or dead channel, and dropouts of one. azimuth: a delay
    between the channels. dc: a constant offset and what lies under rumble_hz (0: the offset alone).
    hiss_print_s: from which second to which the recording holds nothing but its noise; None finds
    the noise in the quiet parts. Raises SoundError for an amount that is none.
    """

    clip: Amount = "auto"
    clicks: Amount = "auto"
    polarity: Amount = "auto"
    azimuth: Amount = "auto"
    dc: Amount = "auto"
    rumble_hz: float = 16.0
    hum: Amount = "auto"
    hiss: Amount = "auto"
    hiss_print_s: tuple[float, float] | None = None
    reverb: Amount = 0.0
    bandwidth: Amount = 0.0

    def __post_init__(self) -> None:
        for name in AMOUNTS:
            amount = getattr(self, name)
            if amount != "auto" and not (isinstance(amount, int | float) and 0 <= amount <= 1):
                raise SoundError(f"repair.{name} is {amount!r}; it may be 0 to 1, or auto")
        if not (self.rumble_hz == 0 or 1 <= self.rumble_hz <= 200):
            raise SoundError(f"rumble_hz is {self.rumble_hz}; it may be 0 (off) or 1 to 200")
        if self.hiss_print_s is not None and not 0 <= self.hiss_print_s[0] < self.hiss_print_s[1]:
            first, last = self.hiss_print_s
            raise SoundError(f"the hiss print goes from {first} s to {last} s; it must go forward")

    def amount(self, name: str) -> float:
        """An amount as a number, where something was found."""
        amount: Amount = getattr(self, name)
        if amount == "auto":
            return 0.0 if name in _INVENTED else 1.0
        return float(amount)


AMOUNTS = tuple(
    field.name for field in fields(Repair) if field.name not in ("rumble_hz", "hiss_print_s")
)
UNTOUCHED = Repair(0.0, 0.0, 0.0, 0.0, 0.0, 16.0, 0.0, 0.0, None, 0.0, 0.0)
"""No repair at all."""


@dataclass(frozen=True)
class Findings:
    """What the finders heard in a recording; None where they were not asked, or heard nothing.

    rumble: a constant offset is told with it.
    """

    rumble: Rumble | None
    clipping: Clipping
    polarity: Polarity | None
    azimuth: Azimuth | None
    hum: Hum | None
    noise: NoisePrint | None
    reverb: Reverb | None
    bandwidth: Bandwidth

    @property
    def told(self) -> "Findings":
        """The same without samples: as plain data for a report."""
        return replace(self, clipping=replace(self.clipping, passages=()))


class Listening:
    """All finders over one stream of blocks (frames, channels)."""

    def __init__(self, sample_rate_hz: int, channels: int, repair: Repair | None = None) -> None:
        repair = repair or Repair()
        self._finders: dict[str, Finder[Any]] = {
            "clipping": ClipFinder(channels),
            "bandwidth": BandwidthFinder(sample_rate_hz, channels),
        }
        if repair.amount("dc"):
            cutoff = repair.rumble_hz or _OFFSET_ONLY_HZ
            self._finders["rumble"] = RumbleFinder(sample_rate_hz, channels, cutoff)
        if repair.amount("polarity"):
            self._finders["polarity"] = PolarityFinder(sample_rate_hz, channels)
        if repair.amount("azimuth"):
            self._finders["azimuth"] = AzimuthFinder(sample_rate_hz, channels)
        if repair.amount("hum"):
            self._finders["hum"] = HumFinder(sample_rate_hz, channels)
        if repair.amount("hiss"):
            self._finders["noise"] = _noise(sample_rate_hz, channels, repair.hiss_print_s)
        if repair.amount("reverb"):
            self._finders["reverb"] = ReverbFinder(sample_rate_hz, channels)

    @property
    def listeners(self) -> list[Finder[Any]]:
        """The finders, each of which must hear every block."""
        return list(self._finders.values())

    def finish(self) -> Findings:
        """The stream has ended."""
        found = {name: finder.finish() for name, finder in self._finders.items()}
        return Findings(
            rumble=found.get("rumble"),
            clipping=found["clipping"],
            polarity=found.get("polarity"),
            azimuth=found.get("azimuth"),
            hum=found.get("hum"),
            noise=found.get("noise"),
            reverb=found.get("reverb"),
            bandwidth=found["bandwidth"],
        )


@dataclass(frozen=True)
class Repaired:
    """One repair that was done: by how much, and what it did, in words for a report."""

    name: str
    amount: float
    did: str


class Repairs:
    """The stages of a recording's repair, in order, with fresh state.

    clicks: where clicks were taken out, once the stream has passed.
    """

    def __init__(self, repair: Repair, found: Findings, sample_rate_hz: int, channels: int) -> None:
        self._done: list[tuple[str, float, Stage, Callable[[], str]]] = []
        self._click: ClickRepair | None = None
        rate = sample_rate_hz
        if (amount := repair.amount("clip")) and found.clipping.samples:
            clip = ClipRepair(rate, channels, found.clipping, amount)
            self._add("clip", amount, clip, lambda: f"{clip.restored} samples restored")
        if amount := repair.amount("clicks"):
            click = self._click = ClickRepair(rate, channels, amount)
            self._add("clicks", amount, click, lambda: _of_clicks(click))
        polarity = found.polarity
        if (amount := repair.amount("polarity")) and polarity and polarity.matters:
            turned = PolarityRepair(rate, channels, polarity, amount)
            self._add("polarity", amount, turned, lambda: _of_polarity(polarity))
        azimuth = found.azimuth
        if (amount := repair.amount("azimuth")) and azimuth and azimuth.matters:
            straight = AzimuthRepair(rate, channels, azimuth, amount)
            late = azimuth.delay_samples
            self._add(
                "azimuth", amount, straight, lambda: f"{late:+.2f} samples between the channels"
            )
        low = found.rumble
        if (amount := repair.amount("dc")) and low and (low.has_offset or low.has_rumble):
            cutoff = repair.rumble_hz if low.has_rumble else 0.0
            high = HighPass(rate, channels, cutoff or _OFFSET_ONLY_HZ, amount)
            self._add("dc", amount, high, lambda: _of_rumble(low, cutoff))
        hum = found.hum
        if (amount := repair.amount("hum")) and hum:
            quiet = HumRepair(rate, channels, hum, amount)
            self._add("hum", amount, quiet, lambda: _of_hum(hum, quiet))
        noise = found.noise
        if (amount := repair.amount("hiss")) and noise and _worth_it(noise, repair):
            clean = HissRepair(rate, channels, noise, amount)
            level = max(noise.level_dbfs)
            self._add("hiss", amount, clean, lambda: f"noise of {level:.1f} dBFS lowered")
        reverb = found.reverb
        if (amount := repair.amount("reverb")) and reverb and reverb.t60_s:
            dry = ReverbRepair(rate, channels, reverb, amount)
            self._add("reverb", amount, dry, lambda: f"a hall of {reverb.t60_s:.1f} s lowered")
        cut = found.bandwidth
        if (amount := repair.amount("bandwidth")) and cut.cutoff_hz:
            high_up = BandwidthRepair(rate, channels, cut, amount)
            self._add(
                "bandwidth",
                amount,
                high_up,
                lambda: f"harmonics invented over {cut.cutoff_hz:.0f} Hz",
            )

    @property
    def stages(self) -> list[Stage]:
        """The stages, to be used once."""
        return [stage for _, _, stage, _ in self._done]

    @property
    def clicks(self) -> Sequence[Click]:
        """The first thousand clicks that were taken out."""
        return self._click.places if self._click else ()

    def done(self) -> tuple[Repaired, ...]:
        """What was done, once the stream has passed."""
        told = [Repaired(name, amount, tell()) for name, amount, _, tell in self._done]
        return tuple(one for one in told if one.did)

    def _add(self, name: str, amount: float, stage: Stage, tell: Callable[[], str]) -> None:
        self._done.append((name, amount, stage, tell))


class _Stretch:
    """A finder that hears only a part of the stream, which holds nothing but noise."""

    def __init__(self, finder: NoiseFinder, first: int, last: int) -> None:
        self._finder, self._first, self._last = finder, first, last
        self._at = 0

    def add(self, block: Block) -> None:
        part = block[max(0, self._first - self._at) : max(0, self._last - self._at)]
        self._at += len(block)
        if len(part):
            self._finder.add(part)

    def finish(self) -> NoisePrint:
        given = self._finder.given()
        if max(given.level_dbfs) == -np.inf:
            raise SoundError(
                "the hiss print holds no noise: it must be two seconds or more of the stream"
            )
        return given


def _noise(
    sample_rate_hz: int, channels: int, given_s: tuple[float, float] | None
) -> NoiseFinder | _Stretch:
    finder = NoiseFinder(sample_rate_hz, channels)
    if given_s is None:
        return finder
    first, last = (round(at * sample_rate_hz) for at in given_s)
    return _Stretch(finder, first, last)


def _worth_it(noise: NoisePrint, repair: Repair) -> bool:
    """Whether there is noise, and for "auto" more of it than 16 bits have by themselves."""
    level_dbfs = max(noise.level_dbfs)
    return level_dbfs > (_HISS_DBFS if repair.hiss == "auto" else -np.inf)


def _of_clicks(repair: ClickRepair) -> str:
    return f"{repair.repaired} taken out" if repair.repaired else ""


def _of_polarity(polarity: Polarity) -> str:
    said = []
    if polarity.inverted:
        said.append("one channel turned over")
    if polarity.dead is not None:
        said.append(f"channel {polarity.dead + 1} filled from the other")
    if polarity.dropout_count:
        said.append(f"{polarity.dropout_count} dropouts bridged ({polarity.dropped_s:.1f} s)")
    return ", ".join(said)


def _of_rumble(low: Rumble, cutoff_hz: float) -> str:
    said = []
    if low.has_offset:
        said.append(f"an offset of {low.offset:+.4f} taken out")
    if low.has_rumble and cutoff_hz:
        said.append(f"rumble of {low.level_dbfs:.0f} dBFS under {cutoff_hz:g} Hz taken out")
    return ", ".join(said)


def _of_hum(hum: Hum, repair: HumRepair) -> str:
    level = repair.removed_dbfs
    removed = "nothing" if level is None else f"{level:.1f} dBFS"
    return f"{removed} removed at {len(hum.harmonics)} multiples of {hum.frequency_hz:.2f} Hz"
