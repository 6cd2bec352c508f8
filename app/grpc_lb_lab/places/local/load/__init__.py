"""A load on this machine: its clients, and a scenario's faults."""
