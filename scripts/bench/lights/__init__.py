"""What `scripts/bench/light.py` measures: one module a subject, each with its own table."""
