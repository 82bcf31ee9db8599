"""Where a URL leads: the endpoint of an http URL whose host is an address, or is named with one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from vnic.errors import ArgumentError
from vnic.stack.address import Address, Endpoint


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads."""

    url: SplitResult
    endpoint: Endpoint

    @classmethod
    def of(cls, text: str, known: Mapping[str, Address]) -> Place:
        """Raises ArgumentError."""
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port or 80
        except ValueError as error:
            raise ArgumentError(f"{text}: {error}") from None
        if url.scheme != "http" or not host:
            raise ArgumentError(f"{text}: only http://HOST[:PORT]/PATH is fetched")
        if not text.isascii() or any(char.isspace() or not char.isprintable() for char in text):
            raise ArgumentError("the URL holds characters that must be percent-encoded")
        return cls(url, Endpoint(_look_up(host, known), port))

    def joined(self, location: str) -> str | None:
        """The URL of a redirection; None when it leads to another host."""
        target = urljoin(self.url.geturl(), location)
        url = urlsplit(target)
        is_same = (url.scheme, url.netloc.lower()) == (self.url.scheme, self.url.netloc.lower())
        return target if is_same else None


def _look_up(host: str, known: Mapping[str, Address]) -> Address:
    with suppress(ValueError):
        return ip_address(host)
    if host in known:
        return known[host]
    raise ArgumentError(f"{host} is no IP address: say --resolve {host}:ADDRESS")
