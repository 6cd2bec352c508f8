"""What every part of the lab shares: plans, results, events, errors. Imports nothing else of the lab.

Units are in the names: ``_s`` seconds, ``_ms`` milliseconds, ``_rps`` calls per second, ``_at`` seconds since the
epoch; ``t_s`` counts from the first measured call.
"""
