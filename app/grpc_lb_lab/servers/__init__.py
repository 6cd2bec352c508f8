"""The servers of the lab."""
