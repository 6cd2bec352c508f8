"""Scenarios at work: what happens to the replicas while a load runs, by one interface in every world."""
