"""What is read beside any client: counters of proxies and servers, DNS, processes."""
