"""The cluster itself and the programs that make and fill it."""
