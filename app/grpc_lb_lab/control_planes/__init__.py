"""The control planes of the lab, and where they learn which replicas there are."""
