"""A network namespace of the Linux kernel for tests and the command line: made, entered, always removed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

CLONE_NEWNET: Final = 0x40000000
_OWN: Final = "/proc/thread-self/ns/net"

# os.setns and os.unshare came with Python 3.12 only.
_libc: Final = ctypes.CDLL(None, use_errno=True)


class NetnsError(OSError):
    """A network namespace cannot be made or entered, or a command in it failed."""


def unavailable() -> str:
    """Why no namespace can be made here, as 'needs ...: ...'; empty when it can."""
    if os.geteuid() != 0:
        return "needs root: network namespaces take CAP_SYS_ADMIN"
    if shutil.which("ip") is None:
        return "needs iproute2: no command ip"
    try:
        Namespace().close()
    except NetnsError as error:
        return f"needs network namespaces: {error.strerror}"
    return ""


@contextlib.contextmanager
def entered(fd: int) -> Iterator[None]:
    """Put the calling thread (and what it forks) into the namespace of `fd`, and back at the end."""
    back = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(fd)
        try:
            yield
        finally:
            _setns(back)
    finally:
        os.close(back)


def open_netns(where: str | os.PathLike[str] | int) -> int:
    """Open a namespace by path, by its `ip netns` name, or by process id; the caller closes the fd."""
    if isinstance(where, int):
        path = f"/proc/{where}/ns/net"
    else:
        path = os.fspath(where)
        if "/" not in path:
            path = f"/run/netns/{path}"
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NetnsError(error.errno, f"no such network namespace: {error.strerror}", path) from None


class Namespace:
    """A namespace of its own with its loopback up; it lives until `close`, or until the process ends.

    With `name` it is made by `ip netns add`, so that other terminals can enter it; then it outlives a
    process that is killed.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.fd = -1
        if name is None:
            self.fd = _unshared()
        else:
            _run(["ip", "netns", "add", name])
            self.fd = open_netns(name)
        try:
            self.run("ip", "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str:
        """A path for `nsenter --net=` while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """The calling thread works in the namespace: sockets and processes it makes belong to it."""
        return entered(self.fd)

    def run(self, *command: str, timeout_s: float = 20) -> str:
        """Run a command inside, return what it printed; raises NetnsError with its complaint."""
        with self.entered():
            return _run(command, timeout_s)

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command inside, its output on pipes; the caller ends it."""
        with self.entered():
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )

    def sysctl(self, key: str, value: str) -> None:
        """Set a sysctl below net, as `net.ipv4.tcp_congestion_control`."""
        with self.entered():
            Path("/proc/sys", *key.split(".")).write_text(value)

    def bring_up(
        self, interface: str, addresses: Iterable[str] = (), *, mtu: int | None = None, mac: str | None = None
    ) -> None:
        """Bring an interface up with addresses as '10.0.0.1/24' or 'fd00::1/64', usable at once (nodad).

        The kernel sends no router solicitation and takes no link-local address of its own making.
        """
        self.run("ip", "link", "set", interface, "addrgenmode", "none")
        if mac is not None:
            self.run("ip", "link", "set", interface, "address", mac)
        if mtu is not None:
            self.run("ip", "link", "set", interface, "mtu", str(mtu))
        self.run("ip", "link", "set", interface, "up")
        for address in addresses:
            family = ("-6", ("nodad",)) if ":" in address else ("-4", ())
            self.run("ip", family[0], "address", "add", address, "dev", interface, *family[1])

    def take_down(self, interface: str) -> None:
        """Set an interface down."""
        self.run("ip", "link", "set", interface, "down")

    def neighbour(self, interface: str, address: str, mac: str) -> None:
        """Enter a permanent neighbour, so that no ARP or ND is needed."""
        self.run("ip", "neigh", "replace", address, "lladdr", mac, "dev", interface, "nud", "permanent")

    def close(self) -> None:
        """Remove the namespace; safe to call twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            if self.name is not None:
                _run(["ip", "netns", "delete", self.name])

    def __enter__(self) -> Namespace:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the namespace."""
        self.close()


def _unshared() -> int:
    """A descriptor of a fresh namespace: a thread moves into one and ends, the descriptor keeps it."""
    result: list[int | OSError] = []

    def move() -> None:
        try:
            if _libc.unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            result.append(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=move)
    thread.start()
    thread.join()
    outcome = result[0]
    if isinstance(outcome, OSError):
        raise NetnsError(outcome.errno, f"no new network namespace: {outcome.strerror}")
    return outcome


def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise NetnsError(code, f"cannot enter the network namespace: {os.strerror(code)}")


def _run(command: Sequence[str], timeout_s: float = 20) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip()
        raise NetnsError(done.returncode, f"{' '.join(command)}: {complaint}")
    return done.stdout
