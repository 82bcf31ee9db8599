"""Declares the compiled module vnic._core to cffi: the C library, and what Python sees of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cffi import FFI

HEADERS = (
    "csrc/include/vnic/vnic.h",
    "csrc/include/vnic/vnic_copy.h",
    "csrc/include/vnic/vnic_trace.h",
    "csrc/include/vnic/vnic_stack.h",
    "csrc/wire/kernels.h",
    "csrc/wire/tcp_header.h",
    "csrc/tcp/connection.h",
    "csrc/tcp/engine.h",
    "csrc/tcp/engine_archive.h",
    "csrc/tcp/handoff.h",
    "csrc/tcp/image.h",
    "csrc/tcp/offload_state.h",
    "csrc/include/vnic/vnic_stack_offload.h",
    "vnic/_access.h",
)
MARKED = re.compile(r"/\* cdef begin \*/\n(.*?)/\* cdef end \*/", re.DOTALL)
CALLBACKS = """
extern "Python" void vnic_py_event(void *opaque, const struct vnic_event *event);
extern "Python" int vnic_py_unmapped(void *opaque, uint64_t iova, uint8_t *bytes, uint32_t len, int is_write);
extern "Python" int vnic_py_sink(void *opaque, const uint8_t *octets, size_t len);
extern "Python" int64_t vnic_py_source(void *opaque, uint8_t *octets, size_t len);
extern "Python" int vnic_py_judge(void *opaque, const struct vnic_event *expected,
                                  const struct vnic_event *actual);
extern "Python" int vnic_py_copy(void *opaque, void *to, const void *from, uint64_t len, uint64_t ticket);
"""

# A call takes less than the interpreter's lock takes to give up and take back, and nothing here sets errno.
PREAMBLE = """
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }
#undef _cffi_restore_errno
#undef _cffi_save_errno
#define _cffi_restore_errno() ((void)0)
#define _cffi_save_errno() ((void)0)

#include <stdbool.h>
#include <stddef.h>

#include "vnic/vnic.h"
#include "vnic/vnic_copy.h"
#include "vnic/vnic_trace.h"
#include "vnic/vnic_stack.h"
#include "wire/kernels.h"
#include "tcp/engine.h"
#include "tcp/engine_archive.h"
#include "tcp/handoff.h"
#include "tcp/image.h"
#include "tcp/offload_state.h"
#include "vnic/vnic_stack_offload.h"
#include "_access.h"
"""

FLAGS = ["-std=gnu11", "-fvisibility=hidden", "-Wall"]
# Python's own flags carry -fwrapv -DNDEBUG, under which overflow is silent and assertions vanish.
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
SANITIZE_COMPILE = ["-fno-wrapv", "-UNDEBUG", "-g", "-O1", "-fno-omit-frame-pointer"]
# Functions are inlined after the counters are in: a branch of the source counts once, wherever it is used.
COVERAGE_COMPILE = ["--coverage", "-fprofile-update=atomic", "-fno-early-inlining"]


def is_asked(name: str) -> bool:
    """Whether an environment variable selects a flavour of the build."""
    return os.environ.get(name, "0") not in ("", "0")


def flavour() -> str:
    """The name of the flavour, for its build folder."""
    chosen = [name for name in ("sanitize", "coverage") if is_asked(f"VNIC_{name.upper()}")]
    return "-".join(chosen) or "plain"


def compile_flags() -> list[str]:
    """Flags of the compiler."""
    flags = [*FLAGS, *(SANITIZE + SANITIZE_COMPILE if is_asked("VNIC_SANITIZE") else ["-O3"])]
    return flags + (COVERAGE_COMPILE if is_asked("VNIC_COVERAGE") else [])


def link_flags() -> list[str]:
    """Flags of the linker."""
    flags = list(SANITIZE) if is_asked("VNIC_SANITIZE") else []
    return [*flags, "--coverage"] if is_asked("VNIC_COVERAGE") else flags


def marked_text(path: str) -> str:
    """The declarations of a header that Python sees; ValueError when none are marked."""
    parts: list[str] = MARKED.findall(Path(path).read_text(encoding="utf-8"))
    if not parts:
        raise ValueError(f"{path} has no part between 'cdef begin' and 'cdef end'")
    return "\n".join(parts).replace("VNIC_API ", "")


def sources() -> list[str]:
    """The C library's files, in a stable order; the examples are programs of their own."""
    return sorted(str(path) for path in Path("csrc").rglob("*.c") if path.parent.name != "examples")


def depends() -> list[str]:
    """What a change of must rebuild everything."""
    headers = [str(path) for path in Path("csrc").rglob("*.h")]
    return sorted([*headers, "vnic/_access.h", "vnic/_build.py"])


def declare() -> FFI:
    """The module, ready to be compiled; paths are relative to the project's folder."""
    ffi = FFI()
    for header in HEADERS:
        ffi.cdef(marked_text(header))
    ffi.cdef(CALLBACKS)
    ffi.set_source(
        "vnic._core",
        PREAMBLE,
        sources=sources(),
        depends=depends(),
        include_dirs=["csrc", "csrc/include", "vnic"],
        define_macros=[("Py_LIMITED_API", "0x030B0000"), ("VNIC_API", "")],
        extra_compile_args=compile_flags(),
        extra_link_args=link_flags(),
        py_limited_api=True,
    )
    return ffi


ffibuilder = declare
