"""Watching a run from a second terminal or a browser: reads the live feed and nothing else."""
