"""Initiates that cross the change from one member of a team to another."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest

from vnic.ndis.chimney import (
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    OFFLOAD_STATE_TYPE,
    MiniportOffloadContext,
)
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.teaming_chimney import Mood, TeamChimney, TeamDown, TeamUp

_PAUSE, _UPLOAD, _RESUME = (
    NDIS_STATUS.OFFLOAD_PAUSE,
    NDIS_STATUS.UPLOAD_ALL,
    NDIS_STATUS.OFFLOAD_RESUME,
)


def a_neighbor(
    kind: OFFLOAD_STATE_TYPE = OFFLOAD_STATE_TYPE.NEIGHBOR_ALL,
) -> NDIS_MINIPORT_OFFLOAD_BLOCK_LIST:
    """A block of the virtual miniport; a new offload unless it gets a context that has a value."""
    return NDIS_MINIPORT_OFFLOAD_BLOCK_LIST(
        kind, MiniportOffloadContext=MiniportOffloadContext(), NdisOffloadHandle=object()
    )


@pytest.mark.requirement("POL-42", "INV-1", "INV-41")
def test_initiates_are_kept_for_the_new_member_or_fail_with_the_old_one() -> None:
    told: list[NDIS_STATUS] = []
    later: list[Callable[[], None]] = []
    first, second, above, binding = Mock(), Mock(), Mock(), Mock()
    team = TeamChimney(told.append, later.append)
    team.start(above, first)
    down, up = TeamDown(team), TeamUp(team, lambda: team.review(second, Mood.OPEN))
    old = a_neighbor()
    down.initiate_offload(old)
    (made,) = first.initiate_offload.call_args.args

    team.review(second, Mood.OPEN)
    assert told == [_PAUSE], "an initiate that is under way may still succeed"
    kept = a_neighbor()
    down.initiate_offload(kept)
    made.Status = NDIS_STATUS.SUCCESS
    up.initiate_offload_complete(binding, made)
    assert told == [_PAUSE, _UPLOAD] and team.is_at(first)

    linker = a_neighbor(OFFLOAD_STATE_TYPE.NONE)
    linker.MiniportOffloadContext = old.MiniportOffloadContext
    linker.DependentBlockList = a_neighbor(OFFLOAD_STATE_TYPE.IP4_PATH_ALL)
    down.initiate_offload(linker)
    above.m_initiate_offload_complete.assert_called_once_with(old)
    later.pop()()
    above.m_initiate_offload_complete.assert_called_with(linker)
    assert linker.Status == linker.DependentBlockList.Status == NDIS_STATUS.FAILURE

    leaving = a_neighbor(OFFLOAD_STATE_TYPE.NEIGHBOR_DELEGATED)
    leaving.MiniportOffloadContext = old.MiniportOffloadContext
    down.terminate_offload(leaving)
    second.initiate_offload.assert_not_called()
    (made,) = first.terminate_offload.call_args.args
    up.terminate_offload_complete(binding, made)
    assert told == [_PAUSE, _UPLOAD, _RESUME] and not team.is_at(first)
    second.initiate_offload.assert_called_once()
    assert first.initiate_offload.call_count == 1


@pytest.mark.requirement("POL-42")
def test_an_initiate_that_failed_leaves_nothing_behind() -> None:
    told: list[NDIS_STATUS] = []
    first, second = Mock(), Mock()
    team = TeamChimney(told.append, Mock())
    team.start(Mock(), first)
    TeamDown(team).initiate_offload(a_neighbor())
    (made,) = first.initiate_offload.call_args.args
    team.review(second, Mood.OPEN)
    made.Status = NDIS_STATUS.FAILURE
    TeamUp(team, lambda: team.review(second, Mood.OPEN)).initiate_offload_complete(Mock(), made)
    assert told == [_PAUSE, _RESUME] and team.below is second
