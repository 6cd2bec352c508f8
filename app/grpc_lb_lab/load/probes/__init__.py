"""What client 0 tries after the measured calls."""
