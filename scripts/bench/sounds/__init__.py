"""What `scripts/bench/sound.py` measures: one module a subject, each with its own table."""
