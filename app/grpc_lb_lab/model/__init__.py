"""What every part of the lab shares: plans, results, events, errors. Imports nothing else of the lab."""
