"""A small xDS control plane: LDS, RDS, CDS and EDS over ADS, for gRPC itself and for Envoy."""
