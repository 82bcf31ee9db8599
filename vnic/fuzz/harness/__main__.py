"""`python -m vnic.fuzz.harness`: what a compiler's command line needs beside a driver's own files."""

from __future__ import annotations

import shlex

from vnic.fuzz.harness import arguments


def main() -> None:
    """Print it, quoted for a shell."""
    print(shlex.join(arguments()))


if __name__ == "__main__":
    main()
