"""Builds the package: pyproject.toml says what it is, vnic/_build.py what is compiled."""

import os
import runpy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext


class ParallelBuild(build_ext):
    """Compiles as many files at once as there are processors; objects come in the order of their sources."""

    def build_extensions(self) -> None:
        one_by_one = self.compiler.compile

        def compile_all(sources: list[str], **options: Any) -> list[str]:
            # The first failure ends the map, and what has not begun is not begun any more.
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                lots = pool.map(lambda source: one_by_one([source], **options), sources)
                return [each for lot in lots for each in lot]

        self.compiler.compile = compile_all
        super().build_extensions()


flavour = runpy.run_path("vnic/_build.py", run_name="__cffi__")["flavour"]()
# Objects of different flavours must not meet; only the plain one is packaged.
build = {"build_base": f"build/{flavour}"}
if flavour != "plain":
    build["build_lib"] = f"build/{flavour}/lib"

setup(
    cmdclass={"build_ext": ParallelBuild},
    cffi_modules=["vnic/_build.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}, "build": build},
)
