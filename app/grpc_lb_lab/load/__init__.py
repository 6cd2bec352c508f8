"""The client: makes the load and records what became of every call."""
