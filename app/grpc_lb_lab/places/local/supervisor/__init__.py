"""The process that owns the replicas, the DNS and the proxies of this machine."""
