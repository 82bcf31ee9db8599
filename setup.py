"""Builds the package: pyproject.toml says what it is, vnic/_build.py what is compiled."""

import os
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py


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


class HeadersToo(build_py):
    """The public C headers travel inside the package; an editable install leaves them in csrc/include."""

    def copies(self) -> dict[str, str]:
        folder = Path(self.build_lib, "vnic", "include", "vnic")
        return {str(path): str(folder / path.name) for path in Path("csrc/include/vnic").glob("*.h")}

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self.copies().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        copied = [] if self.editable_mode else list(self.copies().values())
        return [*super().get_outputs(include_bytecode), *copied]


flavour = runpy.run_path("vnic/_build.py", run_name="__cffi__")["flavour"]()
# Objects of different flavours must not meet; only the plain one is packaged.
build = {"build_base": f"build/{flavour}"}
if flavour != "plain":
    build["build_lib"] = f"build/{flavour}/lib"

setup(
    cmdclass={"build_ext": ParallelBuild, "build_py": HeadersToo},
    cffi_modules=["vnic/_build.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}, "build": build},
)
