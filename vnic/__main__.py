"""`python -m vnic`: the command line."""

from __future__ import annotations

import sys

from vnic.cli import main

sys.exit(main())
