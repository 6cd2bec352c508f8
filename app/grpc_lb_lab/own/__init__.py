"""What belongs to the lab on this machine's disk. Only the standard library: `make clean` works without ``.venv``."""
