"""What README.md shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_example_runs(number: int) -> None:
    exec(compile(EXAMPLES[number], str(README), "exec"), {})


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


def test_ci_calls_the_test_command_of_the_readme() -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert commands[1] in (README.parent / ".ci" / "run").read_text(encoding="utf-8")
