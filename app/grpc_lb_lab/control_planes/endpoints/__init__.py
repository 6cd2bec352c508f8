"""Where the control planes learn which replicas there are: EndpointSlices, or the file of the local supervisor."""
