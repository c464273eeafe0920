"""The trials of `endurance.py`, each a function from a folder to the rows of its table.

To be read in this order: `row` (what a trial says), `sources` (what is remastered), `jobs` (how
`encore` is run, watched and killed), `film` (when two films are the same); then the trials: `kill`,
`cluster`, `encoders`, `inputs`, `disks`, `long`, `pace`, `straight`.
"""
