"""What a scenario shows: presence, shares, outage, clocks, verdict and cause."""
