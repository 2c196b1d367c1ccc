"""How a stage failed is told as it was: the error, its line, the type that can't be stored, the signal."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.sandboxed import Stages


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    return Stages(tmp_path)


def test_errors_have_the_line_of_the_stage_and_only_its_frames(stages: Stages) -> None:
    outcome = stages.run(
        """
        def deeper(x):
            return 1 / x

        def run():
            try:
                deeper(0)
            except ZeroDivisionError as error:
                raise ValueError("größer, bitte") from error
        """,
        stage="train",
    )
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message, outcome.error.line) == ("ValueError", "größer, bitte", 9)
    assert 'File "train.py", line 3, in deeper' in outcome.error.traceback
    assert "return 1 / x" in outcome.error.traceback
    assert "sandbox" not in outcome.error.traceback


@pytest.mark.parametrize(
    ("source", "error", "line"),
    [
        ("x = 1\ndef run(:\n    pass", "SyntaxError", 2),
        ("import nothing_like_this\ndef run(): ...", "ModuleNotFoundError", 1),
        ("def other(): ...", "StageCodeError", None),
        ("def run(unknown): ...", "StageCodeError", None),
        ("run = 5", "StageCodeError", None),
        ("import sys\ndef run():\n    sys.exit(0)", "SystemExit", 3),
        ("def run():\n    raise KeyboardInterrupt", "KeyboardInterrupt", 2),
        ("class E(Exception):\n    def __str__(self): raise RuntimeError\ndef run():\n    raise E", "E", 4),
        ("def run():\n    return run()", "RecursionError", 2),
        ("def run():\n    raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup", 2),
        ("\0", "SyntaxError", None),
        ("x = '\ud800'", "UnicodeEncodeError", None),
    ],
)
def test_code_that_fails_is_told_as_it_is(source: str, error: str, line: int | None, stages: Stages) -> None:
    outcome = stages.run(source)
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert (outcome.error.type.replace("ValueError", "SyntaxError"), outcome.error.line) == (error, line)


@pytest.mark.parametrize(
    ("returned", "named"),
    [
        ("lambda: 1", "function"),
        ("(i for i in ())", "generator"),
        ("open('x', 'w')", "TextIOWrapper"),
        ("Own()", "Own"),
    ],
)
def test_a_result_that_cannot_be_stored_is_named(returned: str, named: str, stages: Stages) -> None:
    outcome = stages.run(f"class Own: ...\ndef run():\n    return {returned}")
    assert outcome.status == "unstorable"
    assert outcome.error is not None
    assert named in outcome.error.message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("os._exit(0)", 0),
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_a_process_that_ends_without_a_result_failed(body: str, code: int, stages: Stages) -> None:
    outcome = stages.run(f"import os\ndef run():\n    {body}")
    assert (outcome.status, outcome.exit_code) == ("failed", code)
    assert outcome.error is not None
    assert "ended" in outcome.error.message
