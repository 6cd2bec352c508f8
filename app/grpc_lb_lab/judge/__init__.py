"""What a run shows: facts, statistics, path, class, verdict and cause. No gRPC in here, and no clock."""
