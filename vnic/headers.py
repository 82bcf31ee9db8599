"""Where the C headers lie: in the package when it is installed, in csrc/include of a source tree."""

from __future__ import annotations

from pathlib import Path

__all__ = ["include_dir"]


def include_dir() -> Path:
    """What a C compiler is given with -I; `<vnic/vnic_driver.h>` is found there. FileNotFoundError."""
    package = Path(__file__).resolve().parent
    for folder in (package / "include", package.parent / "csrc" / "include"):
        if (folder / "vnic" / "vnic_driver.h").is_file():
            return folder
    raise FileNotFoundError(f"{package} was installed without its C headers")
