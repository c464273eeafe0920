"""A clean moving picture turned into an old recording of a show, with everything written down.

`draw` draws a recipe, `light_up` lights the clean picture (that is the truth: the light belongs to
the show), `record` makes of the truth what a camera, a tape and a codec would have left of it.
Training, the benchmark and the demo all use these three.
"""

from encore.degradation.recipe import Recipe, draw
from encore.degradation.recording import Recording, record, taped
from encore.degradation.stage_light import light_up

__all__ = ["Recipe", "Recording", "draw", "light_up", "record", "taped"]
