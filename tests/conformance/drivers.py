"""Drivers that are wrong in one way each, made from the reference miniport: what the suite is tried on."""

from __future__ import annotations

import collections
import ctypes
import itertools
import os
import signal
from dataclasses import replace
from typing import Any

from vnic.miniport import Adapter
from vnic.ndis.attributes import HaltAction
from vnic.ndis.miniport import InitParameters, MiniportHandle, ResetResult, SendFlag
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import PauseParameters
from vnic.netdma.provider import Provider
from vnic.netdma.types import NTSTATUS


class Right(Adapter):
    """Nothing is wrong."""


class Loops(Adapter):
    """A query never returns: Python code that loops."""

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        while True:
            request.bytes_read += 0


class LoopsDeaf(Adapter):
    """A query loops and swallows every exception."""

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        while True:
            try:
                self.oid_request_once(request)
            except Exception:
                continue

    def oid_request_once(self, request: OidRequest) -> None:
        request.bytes_read += 0


class LoopsInC(Adapter):
    """A query never returns: C code that loops, where no signal handler of Python's runs."""

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        collections.deque(itertools.repeat(None), maxlen=0)
        return NDIS_STATUS.SUCCESS


class NeverPauses(Adapter):
    """A pause is pending for ever."""

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        return NDIS_STATUS.PENDING


class Crashes(Adapter):
    """A send reads address 0."""

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        ctypes.string_at(0)


class Reports(Adapter):
    """A send ends the process as a sanitizer does."""

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        os.write(2, b"==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n\x00\xff\x1b[0m")
        os._exit(1)


class Aborts(Adapter):
    """Halting raises SIGABRT."""

    def halt_ex(self, action: HaltAction) -> None:
        os.kill(os.getpid(), signal.SIGABRT)


class LosesSends(Adapter):
    """Every send but the first is forgotten."""

    count = 0

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        self.count += 1
        if self.count == 1:
            super().send_net_buffer_lists(chain, port, flags)


class CompletesTwice(Adapter):
    """A send is completed twice, and the exception that says so is hidden."""

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        self.mine: Any = handle
        return super().initialize_ex(handle, parameters)

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        chain.status = NDIS_STATUS.SUCCESS
        self.mine.m_send_net_buffer_lists_complete(chain)
        try:
            self.mine.m_send_net_buffer_lists_complete(chain)
        except AssertionError:
            return


class Leaks(Adapter):
    """A page of shared memory is left at every halt."""

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        assert parameters.bus is not None
        parameters.bus.alloc_coherent(4096)
        return super().initialize_ex(handle, parameters)


class Strays(Adapter):
    """It writes where there is no register, and points the card's test engine at nothing."""

    def check_for_hang_ex(self) -> bool:
        return False

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        status = super().initialize_ex(handle, parameters)
        assert parameters.bus is not None
        parameters.bus.write(0, 0x3FF0 + 0x4000, 1)
        return status


class Raises(Adapter):
    """A reset raises an exception of Python's."""

    def reset_ex(self) -> ResetResult:
        raise ZeroDivisionError("in the driver")


class NeverAppends(Provider):
    """A provider whose AppendDma says SUCCESS and does nothing."""

    def add_device(self) -> NTSTATUS:
        status = super().add_device()
        assert self.record is not None
        quiet = replace(self.record.characteristics, append_dma=lambda *_: NTSTATUS.SUCCESS)
        self.record.characteristics = quiet
        return status
