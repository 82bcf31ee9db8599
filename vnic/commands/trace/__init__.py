"""`vnic trace`: look at a trace, replay it, compare two."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType

#: Subcommand, what it does in a line; each is a module of this package.
ACTIONS = (
    ("info", "what a trace holds: functions, counts, registers that were used most"),
    ("dump", "one line an event, with register and field names: fit for diff and for git"),
    ("replay", "replay into a fresh device and compare: is it still what it was"),
    ("diff", "two traces beside each other: the first difference, and all by register"),
    ("bisect", "the first event after which two runs are in different states"),
    ("expand", "a compact trace with its outputs in full, by replay"),
    ("minimize", "the fewest inputs with which a trace still fails, and a test of them"),
    ("test", "as a pytest file that replays it"),
    ("report", "a trace as one HTML page: timeline, queues, TCP, registers; needs no network"),
    ("import", "what another tool recorded: mmiotrace, QEMU, qtest, a capture"),
    ("export", "as CSV, JSON Lines, a qtest script or a Wireshark dissector"),
)


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in ACTIONS:
        action = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        _module(name).declare(action)


def execute(options: argparse.Namespace) -> int:
    """Run the subcommand."""
    status: int = _module(options.action).execute(options)
    return status


def _module(action: str) -> ModuleType:
    """The module of a subcommand; one whose name is a word of Python has an s behind it."""
    return importlib.import_module(f"vnic.commands.trace.{'imports' if action == 'import' else action}")
