"""grpc-lb-lab: where do gRPC calls go, and why?"""

__version__ = "0.1.0"
