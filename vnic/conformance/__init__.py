"""The conformance suite: what the public pages ask of an NDIS 6 miniport, for any driver."""
