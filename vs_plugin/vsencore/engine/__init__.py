"""The picture engine: stages chained over a clip, with one upload and one download.

Read in this order: `stage` (what a filter is), `chain` (how stages run over frames), `bridge` (how
a chain becomes a VapourSynth node), `colour` (what samples mean). `device` and `tiles` say where
things run and what happens when memory is short; `light` sees cuts and flashes.
"""
