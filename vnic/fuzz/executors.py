"""Where shards run: processes on this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from vnic.errors import ArgumentError
from vnic.fuzz.process import run_shard
from vnic.fuzz.shard import ShardPlan, ShardResult

__all__ = ["Workers", "dask_workers", "local_workers"]


class Workers:
    """An executor, what it is to run for a shard, and how to end what runs; `count` shards at a time."""

    def __init__(
        self,
        executor: Executor,
        run: Callable[[ShardPlan], ShardResult],
        count: int,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.executor = executor
        self.run = run
        self.count = count
        self.stop = stop


@contextmanager
def local_workers(jobs: int) -> Iterator[Workers]:
    """A thread for each of `jobs` processes: what dies in one leaves the others alone."""
    stop = threading.Event()
    with ThreadPoolExecutor(jobs, thread_name_prefix="vnic-fuzz") as executor:
        try:
            yield Workers(executor, partial(run_shard, stop=stop), jobs, stop.set)
        finally:
            stop.set()


@contextmanager
def dask_workers(address: str, jobs: int) -> Iterator[Workers]:
    """The workers of the scheduler at an address, each shard in a process of its own there.

    jobs: shards at a time; 0: as many as the workers have threads. ArgumentError without the extra `dist`, or
    where no scheduler answers.
    """
    try:
        make_client = importlib.import_module("distributed").Client
    except ImportError:
        raise ArgumentError("the executor `dask` needs an extra: pip install 'vnic[dist]'") from None
    try:
        client = make_client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"no Dask scheduler at {address}: {error}") from None
    try:
        count = jobs or max(sum(client.nthreads().values()), 1)
        # Equal calls are no less calls: pure would run them once.
        yield Workers(client.get_executor(pure=False, retries=0), run_shard, count)
    finally:
        client.close()
