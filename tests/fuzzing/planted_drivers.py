"""Drivers with a bug each, as real authors make them: the reference with one method replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vnic.miniport import (
    Adapter,
    bringup,
    chimney_initiate,
    chimney_operations,
    chimney_status,
    receive,
)
from vnic.miniport.card import Card
from vnic.miniport.chimney_account import Account
from vnic.miniport.chimney_requests import SendRequest
from vnic.miniport.chimney_rings import CommandRing
from vnic.miniport.chimney_sending import Sending
from vnic.miniport.queue import QueuePair
from vnic.miniport.receive import ReceiveQueue
from vnic.miniport.rss import Scaling
from vnic.miniport.statistics import Statistics
from vnic.miniport.transmit import TransmitQueue
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.status import NDIS_STATUS

#: patch(owner, name, replacement).
Patch = Callable[[Any, str, Any], None]


# -- those that only a lying or failing card brings out ------------------------------------------------------


def trusts_lengths(patch: Patch) -> None:
    """The length in a completion may be longer than the buffer."""
    patch(receive, "_fits", lambda frame: True)


def trusts_hash_types(patch: Patch) -> None:
    """Whatever hash type the card names is reported."""
    patch(ReceiveQueue, "_may_carry", lambda self, hash_type: True)


def never_finds_a_hang(patch: Patch) -> None:
    """A send whose completion is lost is waited for without end."""
    patch(QueuePair, "is_stuck", lambda self: False)


def loses_sends_of_a_failed_ring(patch: Patch) -> None:
    """A ring that is reset after an error forgets the NBLs that were in it."""
    reset = QueuePair.reset

    def lossy(self: QueuePair, status: Any) -> list[NetBufferList]:
        reset(self, status)
        return []

    patch(QueuePair, "reset", lossy)


def trusts_capacities(patch: Patch) -> None:
    """What the card says of itself is taken as it is."""
    patch(bringup, "_contradiction", lambda found: "")


# -- those that only a card that lies of its offloaded connections brings out --------------------------------


def trusts_states(patch: Patch) -> None:
    """What the card says of a connection at its end need not add up to what it reported before."""
    patch(Account, "fits", lambda self, *numbers: True)


def trusts_queries(patch: Patch) -> None:
    """CONST and CACHED are answered as the card has them."""
    patch(chimney_operations, "_require", lambda is_so: None)


def answers_for_other_kinds(patch: Patch) -> None:
    """A status of the card is translated without a look at what it is about."""
    plain = {status: ndis for (_, status), ndis in chimney_status._INITIATE.items()}
    translate = chimney_status.initiate_status

    def careless(kind: int, status: int) -> Any:
        return plain.get(status, translate(kind, status))

    patch(chimney_initiate, "initiate_status", careless)


def succeeds_after_an_abort(patch: Patch) -> None:
    """A send of no bytes is SUCCESS, whatever was indicated before."""

    def lenient(self: Sending, request: SendRequest) -> NDIS_STATUS:
        if self.end is None or (request.is_done and not self._has_failed):
            return NDIS_STATUS.SUCCESS
        self._has_failed = True
        return self.end

    patch(Sending, "_status_of", lenient)


def forgets_commands_of_a_reset(patch: Patch) -> None:
    """Commands that were with the card when it was reset never end."""
    abandon = CommandRing.abandon

    def lossy(self: CommandRing) -> None:
        self._in_flight.clear()
        abandon(self)

    patch(CommandRing, "abandon", lossy)


# -- those that traffic over a sound card brings out ---------------------------------------------------------


def loses_sends_of_a_reset(patch: Patch) -> None:
    """What was in the ring when the card was reset is not completed."""
    patch(TransmitQueue, "abort_all", lambda self, status: self.ring.clear() or [])


def swaps_key_words(patch: Patch) -> None:
    """The RSS key is written with the octets of each word turned around."""
    commit = Scaling._commit

    def turned(self: Scaling, types: Any, key: bytes, *rest: Any, **more: Any) -> bool:
        words = [key[at : at + 4][::-1] for at in range(0, len(key), 4)]
        return commit(self, types, b"".join(words), *rest, **more)

    patch(Scaling, "_commit", turned)


def forgets_statistics(patch: Patch) -> None:
    """Counters of the card are not kept over a reset."""
    patch(Statistics, "keep", lambda self: None)


def turns_batches_around(patch: Patch) -> None:
    """Frames of one DPC are indicated last first."""
    indicate = Adapter._indicate

    def backwards(self: Adapter, queue: QueuePair, harvest: Any) -> None:
        harvest.received.reverse()
        indicate(self, queue, harvest)

    patch(Adapter, "_indicate", backwards)


def leaks_its_bounce_buffer(patch: Patch) -> None:
    """MiniportHaltEx leaves coherent memory behind."""
    close = Card.close

    def leaky(self: Card) -> None:
        self._bounce = None
        close(self)

    patch(Card, "close", leaky)


OF_THE_DRIVER = (
    trusts_lengths,
    trusts_hash_types,
    never_finds_a_hang,
    loses_sends_of_a_failed_ring,
    trusts_capacities,
)
OF_THE_CHIMNEY = (
    trusts_states,
    trusts_queries,
    answers_for_other_kinds,
    succeeds_after_an_abort,
    forgets_commands_of_a_reset,
)
OF_THE_MACHINE = (
    loses_sends_of_a_reset,
    swaps_key_words,
    forgets_statistics,
    turns_batches_around,
    leaks_its_bounce_buffer,
)
BY_NAME = {plant.__name__: plant for plant in (*OF_THE_DRIVER, *OF_THE_CHIMNEY, *OF_THE_MACHINE)}


def _driver_with(plant: Callable[[Patch], None]) -> type[Adapter]:
    """A class for `--driver`: a process that makes one has the bug, and nothing but it to run."""

    class Planted(Adapter):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            if plant.__name__ not in _PLANTED:
                _PLANTED.add(plant.__name__)
                plant(setattr)
            super().__init__(*arguments, **more)

    return Planted


_PLANTED: set[str] = set()
TrustsLengths = _driver_with(trusts_lengths)
TrustsHashTypes = _driver_with(trusts_hash_types)
NeverFindsAHang = _driver_with(never_finds_a_hang)
LosesSendsOfAFailedRing = _driver_with(loses_sends_of_a_failed_ring)
TrustsCapacities = _driver_with(trusts_capacities)
TrustsStates = _driver_with(trusts_states)
TrustsQueries = _driver_with(trusts_queries)
AnswersForOtherKinds = _driver_with(answers_for_other_kinds)
SucceedsAfterAnAbort = _driver_with(succeeds_after_an_abort)
ForgetsCommandsOfAReset = _driver_with(forgets_commands_of_a_reset)
LosesSendsOfAReset = _driver_with(loses_sends_of_a_reset)
SwapsKeyWords = _driver_with(swaps_key_words)
ForgetsStatistics = _driver_with(forgets_statistics)
TurnsBatchesAround = _driver_with(turns_batches_around)
LeaksItsBounceBuffer = _driver_with(leaks_its_bounce_buffer)
