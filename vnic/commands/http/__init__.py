"""HTTP/1.1 (RFC 9110, RFC 9112) as far as a file server and a fetcher need it, over sockets of our stack."""
