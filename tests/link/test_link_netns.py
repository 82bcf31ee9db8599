"""Network namespaces: isolated, entered and left by one thread, always removed."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from vnic.link import netns
from vnic.link.netns import Namespace, NetnsError, open_netns, unavailable


def own_inode() -> int:
    """The namespace that the calling thread is in."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def test_it_is_empty_but_for_a_loopback_that_works(namespace: Namespace) -> None:
    assert namespace.run("ip", "-br", "link").split()[0] == "lo"
    with namespace.entered():
        assert socket.if_nameindex() == [(1, "lo")]
        left, right = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
    with left, right:
        right.bind(("127.0.0.1", 0))
        right.settimeout(5)
        left.sendto(b"hello", right.getsockname())
        assert right.recv(10) == b"hello"


def test_only_the_calling_thread_moves_and_an_error_brings_it_back(namespace: Namespace) -> None:
    before = own_inode()
    seen: list[int] = []
    with pytest.raises(KeyError), namespace.entered():
        assert own_inode() == os.stat(namespace.path).st_ino != before
        other = threading.Thread(target=lambda: seen.append(os.stat("/proc/self/ns/net").st_ino))
        other.start()
        other.join()
        raise KeyError
    assert own_inode() == before


def test_commands_run_inside_and_their_failure_is_told(namespace: Namespace) -> None:
    namespace.run("ip", "link", "add", "one", "type", "veth", "peer", "name", "two")
    namespace.bring_up("one", ["10.1.2.3/24", "fd00:1::3/64"], mtu=1400, mac="02:00:00:00:00:07")
    shown = namespace.run("ip", "address", "show", "one")
    assert "10.1.2.3/24" in shown and "fd00:1::3/64" in shown and "mtu 1400" in shown
    assert "tentative" not in shown and "02:00:00:00:00:07" in shown
    assert not any(name == "one" for _, name in socket.if_nameindex())
    namespace.take_down("one")
    assert "UP" not in namespace.run("ip", "-br", "link", "show", "one").split()[3].split(",")
    with pytest.raises(NetnsError, match="Cannot find device"):
        namespace.bring_up("three")


def test_sysctl_is_its_own(namespace: Namespace) -> None:
    path = Path("/proc/sys/net/ipv4/ip_default_ttl")
    outside = path.read_text()
    namespace.sysctl("net.ipv4.ip_default_ttl", "77")
    assert path.read_text() == outside
    assert namespace.run("cat", str(path)).strip() == "77"


def test_process_inside(namespace: Namespace) -> None:
    process = namespace.popen("readlink", "/proc/self/ns/net")
    output, _ = process.communicate(timeout=10)
    assert output.decode().strip() == f"net:[{os.stat(namespace.path).st_ino}]"


def test_named_namespace_can_be_found_and_is_removed(namespace: Namespace) -> None:
    name = f"vnic-test-{os.getpid()}"
    with Namespace(name) as named:
        fd = open_netns(name)
        try:
            assert os.fstat(fd).st_ino == os.stat(named.path).st_ino
        finally:
            os.close(fd)
        with pytest.raises(NetnsError, match="File exists"):
            Namespace(name)
    assert not Path("/run/netns", name).exists()
    named.close()


def test_unknown_namespaces() -> None:
    for where in ("no-such-name", "/no/such/path", 2**22 + 1):
        with pytest.raises(NetnsError, match="no such network namespace"):
            open_netns(where)


def test_a_file_that_is_no_namespace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.touch()
    fd = open_netns(path)
    try:
        before = own_inode()
        with pytest.raises(NetnsError, match="cannot enter"), netns.entered(fd):
            pass
        assert own_inode() == before
    finally:
        os.close(fd)


def test_reason_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unavailable().startswith("needs root")
