"""INF keywords: ranges, defaults, warnings, and the profile of the Scalable Networking Pack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.ndis.keywords import KEYWORDS, SNP2003, read_settings


def test_defaults_are_the_documented_ones() -> None:
    settings = read_settings()
    for name, value in {
        "*RSS": 1,
        "*RSSProfile": 4,
        "*LsoV2IPv4": 1,
        "*TCPConnectionOffloadIPv4": 1,
        "*IPChecksumOffloadIPv4": 3,
        "*InterruptModeration": 1,
        "*HeaderDataSplit": 0,
        "*PriorityVLANTag": 3,
        "*SpeedDuplex": 0,
        "*JumboPacket": 1514,
    }.items():
        assert settings[name] == value
    assert settings.warnings == []
    assert all(keyword.accepts(keyword.default) for keyword in KEYWORDS.values())


@given(st.sampled_from(sorted(KEYWORDS)), st.integers(-(2**40), 2**40) | st.text(max_size=5))
def test_any_value_is_taken_or_replaced_by_the_default_with_a_warning(name: str, value: int | str) -> None:
    settings = read_settings({name: value})
    keyword = KEYWORDS[name]
    assert keyword.accepts(settings[name])
    if isinstance(value, int) and not keyword.accepts(value):
        assert settings[name] == keyword.default
        assert settings.warnings[0].name == name
        assert str(keyword.default) in str(settings.warnings[0])


def test_a_value_in_range_is_taken_as_text_or_number() -> None:
    settings = read_settings({"*jumbopacket": "9014", "*ReceiveBuffers": 1024, "*RSS": "0x0"})
    assert (settings["*JumboPacket"], settings["*ReceiveBuffers"], settings["*RSS"]) == (9014, 1024, 0)
    assert settings.warnings == []


def test_ring_sizes_are_powers_of_two() -> None:
    settings = read_settings({"*TransmitBuffers": 1000})
    assert settings["*TransmitBuffers"] == 512
    assert "power of two" in str(settings.warnings[0])


def test_an_unknown_keyword_is_only_a_warning() -> None:
    settings = read_settings({"*Turbo": 1})
    assert "unknown" in str(settings.warnings[0])
    assert "*Turbo" not in settings


def test_large_send_needs_its_checksums() -> None:
    settings = read_settings({"*TCPChecksumOffloadIPv4": 2})
    assert (settings["*LsoV1IPv4"], settings["*LsoV2IPv4"], settings["*LsoV2IPv6"]) == (0, 0, 1)
    assert len(settings.warnings) == 2


def test_the_base_processor_lies_below_the_last() -> None:
    settings = read_settings({"*RssBaseProcNumber": 8, "*RssMaxProcNumber": 4})
    assert settings["*RssBaseProcNumber"] == 0
    assert settings.warnings


@pytest.mark.parametrize("text", ["02-11-22-33-44-55", "021122334455", "02:11:22:33:44:55"])
def test_network_address(text: str) -> None:
    assert read_settings({"NetworkAddress": text}).network_address == bytes.fromhex("021122334455")


@pytest.mark.parametrize("text", ["01-00-5e-00-00-01", "00-00-00-00-00-00", "junk", "02-11"])
def test_a_network_address_that_is_none_is_ignored(text: str) -> None:
    settings = read_settings({"NetworkAddress": text})
    assert settings.network_address is None
    assert settings.warnings


def test_snp2003_offers_what_the_pack_had() -> None:
    settings = read_settings(profile="snp2003")
    assert (settings["*LsoV1IPv4"], settings["*LsoV2IPv4"], settings["*LsoV2IPv6"]) == (1, 0, 0)
    assert (settings["*TCPConnectionOffloadIPv4"], settings["*RSS"]) == (1, 1)
    assert not settings.has_udp_hash
    assert read_settings().has_udp_hash


@pytest.mark.parametrize("name", sorted(SNP2003))
def test_snp2003_cannot_be_talked_into_more(name: str) -> None:
    settings = read_settings({name: KEYWORDS[name].most}, "snp2003")
    assert settings[name] == SNP2003[name]
    assert "snp2003" in str(settings.warnings[0])


def test_an_unknown_profile_is_an_error() -> None:
    with pytest.raises(ValueError, match="snp2003"):
        read_settings(profile="snp2004")
