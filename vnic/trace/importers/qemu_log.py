"""QEMU's log of trace events (`-trace ... -D FILE`): memory regions, configuration space, MSI-X, vfio."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from vnic.abi import EventType, InterruptKind
from vnic.trace.event import TraceEvent
from vnic.trace.header import FunctionHeader, TraceError, TraceHeader
from vnic.trace.importers.bars import Bars
from vnic.trace.importers.lines import lines_of, time_of, value_of, width_of
from vnic.trace.importers.place import place_number, place_text

_HEX: Final = r"(0x[0-9a-fA-F]+)"
_NAME: Final = r"(\S{1,64})"
_VFIO_NAME: Final = r"(.{1,200})"
#: Nothing; `PID@SECONDS.MICROSECONDS:` (-msg timestamp=on); or the time by ISO 8601 and a blank.
_PREFIX: Final = re.compile(
    r"(?:[0-9]+@([0-9]{1,10}\.[0-9]{6}):"
    r"|([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:?[0-9]{2})) )?"
)
_REGION: Final = re.compile(
    rf"memory_region_ops_(read|write) cpu -?[0-9]+ mr \S+ addr {_HEX} value {_HEX} size ([0-9]+)(?= |$)"
)
_CONFIG: Final = re.compile(rf"pci_cfg_(read|write) {_NAME} {_NAME} @{_HEX} (?:->|<-) {_HEX}$")
_MAPPING: Final = re.compile(rf"pci_update_mappings_(add|del) {_NAME} {_NAME} ([0-9]+),{_HEX}\+{_HEX}$")
_NOTIFY: Final = re.compile(rf"e1000e_irq_msix_notify_vec MSI-X notify vector {_HEX}$")
_VFIO_READ: Final = re.compile(
    rf"vfio_region_read\s+\({_VFIO_NAME}:region([0-9]+)\+{_HEX}, ([0-9]+)\) = {_HEX}$"
)
_VFIO_WRITE: Final = re.compile(
    rf"vfio_region_write\s+\({_VFIO_NAME}:region([0-9]+)\+{_HEX}, {_HEX}, ?([0-9]+)\)$"
)
_VFIO_CONFIG_READ: Final = re.compile(
    rf"vfio_pci_read_config\s+\({_VFIO_NAME}, @{_HEX}, len={_HEX}\) {_HEX}$"
)
_VFIO_CONFIG_WRITE: Final = re.compile(
    rf"vfio_pci_write_config\s+\({_VFIO_NAME}, @{_HEX}, {_HEX}, len={_HEX}\)$"
)
_VFIO_MSI: Final = re.compile(rf"vfio_msi_interrupt\s+\({_VFIO_NAME}\) vector ([0-9]+) {_HEX}/{_HEX}$")
#: What begins like this is one of the above, or was cut.
_KNOWN: Final = (
    "memory_region_ops_",
    "pci_cfg_",
    "pci_update_mappings_",
    "vfio_region_read ",
    "vfio_region_write ",
    "vfio_pci_read_config",
    "vfio_pci_write_config",
    "vfio_msi_interrupt",
    "e1000e_irq_msix_notify_vec",
)
_VFIO_CONFIG_REGION: Final = 7
_REGIONS: Final = 16
_DEVICES_MAX: Final = 4096


class QemuLog:
    """One file, of one device. Lines of other events are counted; a line that is cut is an error.

    The log does not say how wide an access to configuration space was: its width is 0 (that of vfio says it).
    An access to a region is there as the device's model saw it: QEMU cuts those that are too wide for it.
    Which device notified an MSI-X vector is not in the log either. Times are from the first line on; without
    any, every event is at 0.
    """

    def __init__(self, path: str | os.PathLike[str], device: str | None = None) -> None:
        self._path = path
        self._bars = Bars()
        self._start: int | None = None
        self._makers: tuple[
            tuple[re.Pattern[str], Callable[[re.Match[str], int], TraceEvent | None]], ...
        ] = (
            (_REGION, self._region),
            (_CONFIG, self._config),
            (_MAPPING, self._mapping),
            (_NOTIFY, self._notify),
            (_VFIO_READ, self._vfio_read),
            (_VFIO_WRITE, self._vfio_write),
            (_VFIO_CONFIG_READ, self._vfio_config_read),
            (_VFIO_CONFIG_WRITE, self._vfio_config_write),
            (_VFIO_MSI, self._vfio_msi),
        )
        self._left_out: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self.notes: list[str] = []
        self.complaints: list[str] = []
        self._device, ids = self._choose(device)
        place = place_number(self._device.split()[-1])
        config = {"device": self._device} | ({} if place is None else {"location": place_text(place)})
        self.header = TraceHeader((FunctionHeader(0, "foreign", ids, config),))

    def _choose(self, wanted: str | None) -> tuple[str, str]:
        """The device by name, place or ids, and its ids where the log has them."""
        found: dict[str, str] = {}
        for number, line in lines_of(self._path):
            text = line[_prefix(line).end() :]
            match = _CONFIG.match(text) if text.startswith("pci_cfg_") else None
            if match:
                name = f"{match[2]} {match[3]}"
                value = value_of(match[5], number)
                if value_of(match[4], number) == 0 and value >> 16:
                    found[name] = _ids(value)
                found.setdefault(name, "")
            elif vfio := _vfio_read_or_write(text):
                found.setdefault(vfio[1], "")
                if vfio.re is _VFIO_CONFIG_READ and value_of(vfio[2], number) == 0:
                    value = value_of(vfio[4], number)
                    found[vfio[1]] = _ids(value) if value >> 16 else found[vfio[1]]
            if len(found) > _DEVICES_MAX:
                raise TraceError(f"line {number}: more than {_DEVICES_MAX} devices")
        names = [
            name for name, ids in found.items() if wanted is None or wanted in (name, *name.split(), ids)
        ]
        if len(names) != 1:
            known = ", ".join(list(found)[:8]) or "none"
            which = "no" if not names else "more than one"
            raise TraceError(f"{which} device{f' {wanted}' if wanted else ''}; the log has {known}")
        return names[0], found[names[0]]

    # -- events ----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[TraceEvent]:
        """What happened to the device."""
        self.notes.clear()
        self.complaints.clear()
        self._left_out.clear()
        self._lost.clear()
        self._bars, self._start = Bars(), None
        count = 0
        for number, line in lines_of(self._path):
            prefix = _prefix(line)
            time_ns = self._time(prefix, number)
            event = self._event(line[prefix.end() :], number)
            if event is not None:
                yield event._replace(number=count, time_ns=time_ns)
                count += 1
        self.notes += [f"{times:,} {what}" for what, times in self._left_out.items()]
        self.complaints += [f"{times:,} {what}" for what, times in self._lost.items()]

    def _event(self, text: str, number: int) -> TraceEvent | None:
        if text.startswith(_KNOWN):
            for pattern, make in self._makers:
                match = pattern.match(text)
                if match:
                    return make(match, number)
            raise TraceError(f"line {number}: cut, or of another version: {text[:60]!r}")
        if text:
            self._left_out["lines of other events"] += 1
        return None

    def _time(self, prefix: re.Match[str], number: int) -> int:
        if prefix[1]:
            now = time_of(prefix[1], number)
        elif prefix[2]:
            now = _iso_time(prefix[2], number)
        else:
            return 0
        self._start = now if self._start is None else self._start
        return max(now - self._start, 0)

    def _region(self, match: re.Match[str], number: int) -> TraceEvent | None:
        width = width_of(match[4], number)
        spot = self._bars.find(value_of(match[2], number))
        if spot is None:
            self._left_out["accesses to other regions"] += 1
            return None
        kind = EventType.MMIO_READ if match[1] == "read" else EventType.MMIO_WRITE
        return TraceEvent(0, kind, 0, 0, spot.bar, width, spot.offset, value_of(match[3], number))

    def _config(self, match: re.Match[str], number: int) -> TraceEvent | None:
        if f"{match[2]} {match[3]}" != self._device:
            self._left_out["accesses to other devices"] += 1
            return None
        kind = EventType.CFG_READ if match[1] == "read" else EventType.CFG_WRITE
        return TraceEvent(0, kind, 0, addr=value_of(match[4], number), value=value_of(match[5], number))

    def _mapping(self, match: re.Match[str], number: int) -> None:
        if f"{match[2]} {match[3]}" != self._device:
            return
        bar = _region_number(match[4], number)
        if match[1] == "add":
            self._bars.map(0, bar, value_of(match[5], number), value_of(match[6], number))
        else:
            self._bars.unmap(0, bar)

    def _notify(self, match: re.Match[str], number: int) -> TraceEvent:
        return TraceEvent(
            0, EventType.INTERRUPT, 0, 0, self._vector(value_of(match[1], number)), InterruptKind.MSIX
        )

    def _vector(self, vector: int) -> int:
        """As an event can say it."""
        if vector > 255:
            self._lost["interrupts of vectors above 255, whose numbers are cut to 8 bits"] += 1
        return vector & 0xFF

    # -- vfio ------------------------------------------------------------------------------------------------

    def _is_other(self, name: str) -> bool:
        """Whether it is of another device, which is counted."""
        if name != self._device:
            self._left_out["accesses to other devices"] += 1
            return True
        return False

    def _vfio_read(self, match: re.Match[str], number: int) -> TraceEvent | None:
        return self._vfio(False, match, match[4], match[5], number)

    def _vfio_write(self, match: re.Match[str], number: int) -> TraceEvent | None:
        return self._vfio(True, match, match[5], match[4], number)

    def _vfio(
        self, is_write: bool, match: re.Match[str], width: str, value: str, number: int
    ) -> TraceEvent | None:
        if self._is_other(match[1]):
            return None
        region = _region_number(match[2], number)
        is_config = region == _VFIO_CONFIG_REGION
        kind = _KINDS[is_config, is_write]
        return TraceEvent(
            0,
            kind,
            0,
            0,
            0 if is_config else region,
            width_of(width, number),
            value_of(match[3], number),
            value_of(value, number),
        )

    def _vfio_config_read(self, match: re.Match[str], number: int) -> TraceEvent | None:
        return self._vfio_config(EventType.CFG_READ, match, match[3], match[4], number)

    def _vfio_config_write(self, match: re.Match[str], number: int) -> TraceEvent | None:
        return self._vfio_config(EventType.CFG_WRITE, match, match[4], match[3], number)

    def _vfio_config(
        self, kind: EventType, match: re.Match[str], length: str, value: str, number: int
    ) -> TraceEvent | None:
        if self._is_other(match[1]):
            return None
        width = width_of(str(value_of(length, number)), number)
        return TraceEvent(0, kind, 0, 0, 0, width, value_of(match[2], number), value_of(value, number))

    def _vfio_msi(self, match: re.Match[str], number: int) -> TraceEvent | None:
        if self._is_other(match[1]):
            return None
        vector = self._vector(value_of(match[2], number))
        address, data = value_of(match[3], number), value_of(match[4], number)
        return TraceEvent(0, EventType.INTERRUPT, 0, 0, vector, InterruptKind.MSIX, address, data)


_KINDS: Final = {
    (False, False): EventType.MMIO_READ,
    (False, True): EventType.MMIO_WRITE,
    (True, False): EventType.CFG_READ,
    (True, True): EventType.CFG_WRITE,
}


def _prefix(line: str) -> re.Match[str]:
    match = _PREFIX.match(line)
    assert match is not None  # it may be empty
    return match


def _iso_time(text: str, number: int) -> int:
    """Nanoseconds since 1970, exact to the microsecond."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        seconds = int(moment.replace(microsecond=0).timestamp())
    except (ValueError, OverflowError):
        raise TraceError(f"line {number}: {text[:40]!r} is not a time") from None
    return seconds * 1_000_000_000 + moment.microsecond * 1000


def _vfio_read_or_write(text: str) -> re.Match[str] | None:
    if not text.startswith("vfio_"):
        return None
    patterns = (_VFIO_READ, _VFIO_WRITE, _VFIO_CONFIG_READ, _VFIO_CONFIG_WRITE)
    return next((match for each in patterns if (match := each.match(text))), None)


def _region_number(text: str, number: int) -> int:
    """A BAR, the ROM (6), or what else vfio has."""
    value = value_of(text, number)
    if value >= _REGIONS:
        raise TraceError(f"line {number}: region {text}")
    return value


def _ids(value: int) -> str:
    return f"{value & 0xFFFF:04x}:{value >> 16 & 0xFFFF:04x}"


def open_file(path: str | os.PathLike[str], device: str | None = None) -> QemuLog:
    """Open one; `device`: its name, place or ids, as e1000e or 00:03.0, where the log has several."""
    return QemuLog(path, device)
