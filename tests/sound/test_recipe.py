"""A recipe is data that is right, or is refused in one line that says what it may be."""

import dataclasses
import math

import pytest

from encoreaudio import PRESETS, UNTOUCHED, Mastering, Recipe, Remix, Repair, SoundError, ToneTarget
from encoreaudio.recipe import recipe


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Remix("htdemucs", voice_hiss=1.5), "voice_hiss is 1.5; it may be 0 to 1, or auto"),
        (lambda: Remix("htdemucs", voice_hiss="full"), "voice_hiss is 'full'"),
        (lambda: Remix("htdemucs", voice_presence=-0.1), "voice_presence is -0.1"),
        (lambda: Remix("htdemucs", voice_presence=math.nan), "voice_presence is nan"),
        (lambda: Remix("htdemucs", {"vocals": 6.5}), "level of vocals is 6.5 dB; it may be -12 to"),
        (lambda: Remix("htdemucs", {"bass": -13}), "level of bass is -13 dB"),
        (lambda: Remix("htdemucs", {"bass": math.nan}), "level of bass is nan dB"),
        (lambda: ToneTarget(amount=1.01), "tone amount is 1.01; it may be 0 to 1"),
        (lambda: ToneTarget(most_db=13), "most_db is 13; it may be 0 to 12"),
        (lambda: ToneTarget(tilt_db=-12.5), "tilt_db is -12.5; it may be -12 to 12"),
        (lambda: ToneTarget(phase="zero"), "phase is 'zero'; it may be linear or minimum"),
        (lambda: Recipe(downmix="quad"), "downmix is 'quad'; it may be stereo or mono"),
        (lambda: Recipe(dither="none"), "dither is 'none'; it may be flat or shaped"),
        (lambda: recipe("loud"), "no sound preset is called 'loud'; there are streaming, apple"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_says_what_it_may_be(make, words):
    with pytest.raises(SoundError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_at_the_bounds_is_taken():
    Remix("htdemucs", {"vocals": 6, "bass": -12}, voice_hiss=1, voice_presence=1.0)
    Remix("htdemucs", voice_hiss="auto")
    ToneTarget(amount=1, most_db=12, tilt_db=-12, phase="minimum")


@pytest.mark.parametrize(
    ("tone", "flat"),
    [
        (ToneTarget(), True),
        (ToneTarget("warm", amount=0), True),
        (ToneTarget("warm"), False),
        (ToneTarget(tilt_db=1), False),
        (ToneTarget("warm", amount=0, tilt_db=1), False),
    ],
)
def test_a_tone_is_flat_where_nothing_is_asked_for(tone, flat):
    assert tone.flat == flat


@pytest.mark.parametrize("name", PRESETS)
def test_only_the_presets_that_keep_a_recording_repair_nothing(name):
    made = recipe(name)
    assert made.mastering == PRESETS[name]
    assert made.repair == (UNTOUCHED if name in ("archive", "none") else Repair())
    assert (made.remix, made.tone, made.downmix, made.reference) == (None,) * 4


def test_a_mastering_alone_is_repaired_too_and_a_recipe_is_kept_as_it_is():
    assert recipe(Mastering(-20.0)) == Recipe(Mastering(-20.0), Repair())
    mine = dataclasses.replace(Recipe(), dither="shaped")
    assert recipe(mine) is mine
