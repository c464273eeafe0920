"""The network with nothing to look at but the moment itself: what its window is held against.

Every neighbour is the centre's own picture. Of fields every second one has the other lines: they
are drawn between the centre's, as a single picture has none. The neighbours are said to be of no
trust, which is what this network makes the most of. One that was trained on single pictures would
do somewhat better.
"""

from dataclasses import dataclass

from torch import Tensor

from vsencore.engine.scaling import resize
from vsencore.engine.stage import Made
from vsencore.learned import RestorerStage
from vsencore.nets.bundled import shape_of
from vsencore.nets.restorer import Kind

__all__ = ["Alone", "stage"]


@dataclass(frozen=True)
class Alone(RestorerStage):
    """A restoring stage whose windows hold one picture."""

    def run(self, window: Tensor) -> Made:
        """Restore windows as `RestorerStage.run` does, from their centres alone."""
        height, width = window.shape[-2:]
        own = window[:, self.reach].clone()
        below = 0.5 if self.shape.kind == "fields" else 0.0
        other = resize(own, height, width, "bicubic", (below, 0.0)) if below else own
        filled = window.clone()
        for at in range(self.shape.pictures):
            if at != self.reach:
                filled[:, at] = other if (at - self.reach) % 2 else own
                filled[:, at, 3] = 0
        return super().run(filled)


def stage(weights: str, kind: Kind) -> Alone:
    """The stage of weights, a name or a file."""
    return Alone(weights, shape_of(weights, kind))
