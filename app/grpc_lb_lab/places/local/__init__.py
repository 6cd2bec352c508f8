"""The lab on processes of this machine: what stands in for Kubernetes, and the real programs around it."""
