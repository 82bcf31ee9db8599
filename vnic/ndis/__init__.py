"""The NDIS 6 vocabulary, and the NDIS layer that stands between protocol and miniport and checks both."""
