"""A long picture in chunks: planned, worked off anywhere, committed one by one, and joined.

To be read in this order: `plan` (where chunks begin), `identity` (what decides the pixels),
`ledger` (what is finished), `piece` (one chunk, made and verified), `lanes` and `cluster` (who
makes them), `pool` (the job's own loop), `state` (what is told of it), `picture` (all of it).
"""
