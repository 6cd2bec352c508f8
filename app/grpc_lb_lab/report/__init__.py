"""What a run shows: model, statistics, verdict and the views. No gRPC in here, and no clock."""
