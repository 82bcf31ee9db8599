"""What a host's chimney is made with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from vnic.ndis.offload import TcpConnectionOffloadParameters
from vnic.protocol.chimney_means import ReceivePlan
from vnic.protocol.chimney_policy import AutomaticPolicy, Policy
from vnic.protocol.switches import Switches
from vnic.stack.config import StackConfig

#: The verification key of "Verifying the RSS Hash Calculation".
_KEY: Final = bytes.fromhex(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChimneyOptions:
    """Nothing has to be set: connections are then offloaded where it pays."""

    policy: Policy = field(default_factory=AutomaticPolicy)
    switches: Switches = field(default_factory=Switches)
    #: Constants of the targets (OID_TCP_CONNECTION_OFFLOAD_PARAMETERS), TicksPerSecond among them.
    #: None: as the host's own stack is set.
    parameters: TcpConnectionOffloadParameters | None = None
    receives: ReceivePlan = field(default_factory=ReceivePlan)
    #: Key of RSS and of every HashValue, 40 bytes.
    rss_key: bytes = _KEY
    #: The host decides: take connections back when the medium is lost, or leave them to wait at the target.
    uploads_on_media_loss: bool = True


def target_parameters(options: ChimneyOptions, stack: StackConfig) -> TcpConnectionOffloadParameters:
    """What targets are told: a connection is to keep its ways when it moves."""
    if options.parameters is not None:
        return options.parameters
    plain = TcpConnectionOffloadParameters()
    if stack.delack_us is None:
        return plain
    ticks = -(-stack.delack_us * plain.ticks_per_second // 1_000_000)
    return replace(plain, delayed_ack_ticks=max(1, min(ticks, 255)))


def manual(**members: object) -> ChimneyOptions:
    """A chimney that moves a connection only when it is told to."""
    return ChimneyOptions(policy=Policy(), **members)  # type: ignore[arg-type]
