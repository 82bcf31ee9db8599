"""The command line: `vnic COMMAND ...`; a command is a module of vnic.commands, imported when it is used."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from vnic.errors import VnicError

#: Command, module, what it does in a line.
COMMANDS = (
    ("run", "vnic.commands.run", "push a capture, or connections, through the card and its driver"),
    ("dma", "vnic.commands.dma", "copy memory, or a file, by the copy engine, beside memcpy"),
    ("status", "vnic.commands.view", "list the connections of runs, and where they are"),
    ("record", "vnic.commands.record", "run a Python program and keep a trace of every device it makes"),
    ("conformance", "vnic.commands.conformance", "judge a driver by the rules of NDIS miniports"),
    ("trace", "vnic.commands.trace", "look at a trace, replay it, compare two"),
    ("coverage", "vnic.commands.coverage", "what traces reached: registers, resets, states of the chimney"),
    ("fuzz", "vnic.commands.fuzz", "campaigns of hostile programs, cards, traces; findings run again"),
    ("serve", "vnic.commands.serve", "serve the files of a directory over HTTP, by the card, to a TAP"),
    ("get", "vnic.commands.get", "fetch a URL over HTTP, by the card, from behind a TAP"),
)


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser; with `only`, just that command's arguments are declared."""
    parser = argparse.ArgumentParser(
        prog="vnic", description="A virtual network card, its driver and its test bench."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module, summary in COMMANDS:
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if only in (None, name):
            importlib.import_module(module).declare(command)
        command.set_defaults(module=module)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Its exit status: 0 as hoped, 2 the call or its input is wrong, else the command says."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    named = next((word for word in given if not word.startswith("-")), None)
    only = named if named in {name for name, _, _ in COMMANDS} else None
    options = build_parser(only).parse_args(given)
    try:
        status: int = importlib.import_module(options.module).execute(options)
    except VnicError as error:
        print(f"vnic: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing reads on: not an error
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("vnic: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return status
