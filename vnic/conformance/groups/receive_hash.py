"""Receive hash: OID_GEN_RECEIVE_HASH has hashes reported without spreading, and excludes RSS."""

from __future__ import annotations

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, ONE, has_oid, take, tell, works
from vnic.conformance.pages import guide
from vnic.ndis.oid import OID
from vnic.ndis.rss import HashType, ReceiveHashFlag, ReceiveHashParameters, RssCapability, RssFlag
from vnic.protocol.capture import Received
from vnic.testbench.bench import RSS_KEY, Bench
from vnic.testbench.frames import tcp_frame

_PAGE = guide("oid-gen-receive-hash")
_ENABLE = ReceiveHashFlag.ENABLE_HASH
_TCP4 = 0x201
_IP4 = 0x101
_OFFERED_BY = {
    HashType.TCP_IPV4: RssCapability.HASH_TYPE_TCP_IPV4,
    HashType.TCP_IPV6: RssCapability.HASH_TYPE_TCP_IPV6,
    HashType.TCP_IPV6_EX: RssCapability.HASH_TYPE_TCP_IPV6_EX,
    HashType.UDP_IPV4: RssCapability.HASH_TYPE_UDP_IPV4,
    HashType.UDP_IPV6: RssCapability.HASH_TYPE_UDP_IPV6,
    HashType.UDP_IPV6_EX: RssCapability.HASH_TYPE_UDP_IPV6_EX,
}


def switch(bench: Bench, parameters: ReceiveHashParameters) -> bool:
    """Set it; whether it was taken. NOT SUPPORTED when the driver has no such OID."""
    if not has_oid(bench, OID.GEN_RECEIVE_HASH):
        raise NotSupported("OID_GEN_RECEIVE_HASH")
    return not tell(bench, OID.GEN_RECEIVE_HASH, parameters.pack()).is_error


def flows(bench: Bench) -> list[Received]:
    """What comes up of twelve flows."""
    return take(bench, *[tcp_frame(b"x", ports=(1000 + n, 80), to=bench.station) for n in range(12)])


@case(
    _PAGE, "with the receive hash enabled frames have a hash, and are not spread over processors", Feature.RSS
)
def hashes_without_spreading(bench: Bench) -> None:
    """Enable it for TCP over IPv4; NDIS recomputes each hash; disable it."""
    assert switch(bench, ReceiveHashParameters(_ENABLE, _TCP4, RSS_KEY))
    seen = flows(bench)
    assert len(seen) == 12
    assert {frame.hash and frame.hash[0] for frame in seen} == {0x200}, (
        "frames have no hash, or of another type"
    )
    assert len({frame.cpu for frame in seen}) == 1, "frames are spread over processors"
    assert switch(bench, ReceiveHashParameters(ReceiveHashFlag(0)))
    assert {frame.hash for frame in flows(bench)} == {None}, "frames have a hash after it was disabled"
    works(bench)


@case(_PAGE, "receive hash and RSS exclude each other: the second of them is refused", Feature.RSS)
def excludes_rss(bench: Bench) -> None:
    """Enable one, try the other, in both orders."""
    wanted = ReceiveHashParameters(_ENABLE, _TCP4, RSS_KEY)
    assert switch(bench, wanted)
    assert bench.set_rss().is_error, "RSS was enabled beside the receive hash"
    assert {frame.hash and frame.hash[0] for frame in flows(bench)} == {0x200}
    assert switch(bench, ReceiveHashParameters(ReceiveHashFlag(0)))
    assert bench.set_rss() == OK, "RSS is refused after the receive hash was disabled"
    assert not switch(bench, wanted), "the receive hash was enabled beside RSS"


@case(
    _PAGE, "members that are said to be unchanged stay; a set without a key or type is refused", Feature.RSS
)
def unchanged_members(bench: Bench) -> None:
    """Enable; change the types alone, then the key alone; refuse what cannot be."""
    info, key = ReceiveHashFlag.HASH_INFO_UNCHANGED, ReceiveHashFlag.HASH_KEY_UNCHANGED
    assert not switch(bench, ReceiveHashParameters(_ENABLE, 0, RSS_KEY)), "a hash without a type was taken"
    for types in (0x8000_0001, 0x100_0001, 0xFFFF_FF01):
        refused = ReceiveHashParameters(_ENABLE, types, RSS_KEY)
        assert not switch(bench, refused), f"hash information 0x{types:x} was taken"
    for unchanged in (info, key, info | key):
        first = ReceiveHashParameters(_ENABLE | unchanged, _TCP4, RSS_KEY)
        assert not switch(bench, first), f"{unchanged!r} was taken where nothing was set before"
    assert switch(bench, ReceiveHashParameters(_ENABLE, _TCP4, RSS_KEY))
    hashes = [frame.hash for frame in flows(bench)]
    assert switch(bench, ReceiveHashParameters(_ENABLE | key, _IP4))
    assert {frame.hash and frame.hash[0] for frame in flows(bench)} == {0x100}, "the types did not change"
    assert switch(bench, ReceiveHashParameters(_ENABLE | key, _TCP4))
    assert [frame.hash for frame in flows(bench)] == hashes, "the key changed"
    assert switch(bench, ReceiveHashParameters(_ENABLE | info, _IP4, RSS_KEY[::-1]))
    last = [frame.hash for frame in flows(bench)]
    assert {each and each[0] for each in last} == {0x200}, "the types changed"
    assert last != hashes, "the key did not change"


def _takes_what_is_offered(bench: Bench) -> None:
    """Each hash type by each of the two OIDs: taken where the capabilities have it, refused where not."""
    assert bench.adapter.general is not None and bench.adapter.general.receive_scale is not None
    offered = bench.adapter.general.receive_scale.flags
    for kind, capability in _OFFERED_BY.items():
        is_offered = bool(offered & capability)
        types = int(kind | HashType.IPV4)
        if has_oid(bench, OID.GEN_RECEIVE_HASH):
            is_taken = switch(bench, ReceiveHashParameters(_ENABLE, types | 1, RSS_KEY))
            said = "taken" if is_taken else "refused"
            assert is_taken == is_offered, f"OID_GEN_RECEIVE_HASH with {kind!r} was {said}"
            assert switch(bench, ReceiveHashParameters(ReceiveHashFlag(0)))
        is_taken = bench.set_rss(types=types) == OK
        said = "taken" if is_taken else "refused"
        assert is_taken == is_offered, f"RSS with {kind!r} was {said}"
        if is_taken:
            assert bench.set_rss(flags=RssFlag.DISABLE_RSS) == OK
    works(bench, "after every hash type")


@case(
    _PAGE, "a hash type that is in the capabilities is taken, one that is not is refused", Feature.RSS, **ONE
)
def takes_the_types_that_it_offers(bench: Bench) -> None:
    """Set each hash type by OID_GEN_RECEIVE_HASH, and by OID_GEN_RECEIVE_SCALE_PARAMETERS."""
    _takes_what_is_offered(bench)


@case(
    _PAGE,
    "a hash type that is in the capabilities is taken, one that is not is refused, with those of 2003 too",
    Feature.RSS,
    profile="snp2003",
    keywords={"*RSS": 1},
    **ONE,
)
def takes_the_types_of_2003(bench: Bench) -> None:
    """The same with the settings of the Scalable Networking Pack, which has no types of UDP."""
    _takes_what_is_offered(bench)
