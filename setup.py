"""Builds the package: pyproject.toml says what it is, vnic/_build.py what is compiled."""

import runpy

from setuptools import setup

flavour = runpy.run_path("vnic/_build.py", run_name="__cffi__")["flavour"]()
# Objects of different flavours must not meet; only the plain one is packaged.
build = {"build_base": f"build/{flavour}"}
if flavour != "plain":
    build["build_lib"] = f"build/{flavour}/lib"

setup(
    cffi_modules=["vnic/_build.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}, "build": build},
)
