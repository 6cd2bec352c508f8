"""What a client writes down of its calls, in counts of fixed size."""
