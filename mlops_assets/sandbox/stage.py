"""A stage's own process, from the moment it can do no harm: load arguments, run the function, store what it returns.

Keep out isolation (privileges.py, enclosure.py) and limits (watch.py). Standard library only.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import inspect
import linecache
import logging
import os
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from mlops_assets.sandbox import values
from mlops_assets.sandbox.channel import Channel
from mlops_assets.sandbox.context import Context, LogHandler

OWN_MODULE = "__stage__"
SHOWN_TRACEBACK, SHOWN_MESSAGE = 64_000, 4_000
_OURS = os.path.dirname(os.path.abspath(__file__))


class StageCodeError(Exception):
    """The stage's code can't be used as it is: no `run`, or arguments that nothing provides."""


def run(order: Mapping[str, Any], channel: Channel, inputs: Mapping[str, int]) -> int:
    """Do the stage and tell how it went; the exit code. Never raises."""
    os.chdir(f"{order['folder']}/work")
    _start_logging()
    try:
        function = _function(order)
        arguments = _arguments(function, order, channel, inputs)
        result = function(**arguments)
        stored = values.dump(result, f"{order['folder']}/result", "value", OWN_MODULE)
    except BaseException as error:  # noqa: BLE001 whatever a stage raises is its outcome
        status, code = _status(error), 1
        channel.tell("failed", status=status, error=_described(error, order["stage"]))
    else:
        code = 0
        channel.tell("completed", value=stored)
    _flush()
    return code


def _start_logging() -> None:
    # New ones: the streams that Python started with believe that they write to something else.
    sys.stdout = sys.__stdout__ = _lines_to(1)  # type: ignore[assignment, misc]
    sys.stderr = sys.__stderr__ = _lines_to(2)  # type: ignore[assignment, misc]
    root = logging.getLogger()
    root.addHandler(LogHandler(1, _flush))
    root.setLevel(logging.INFO)


def _lines_to(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # the stage closed or replaced it


def _function(order: Mapping[str, Any]) -> Callable[..., Any]:
    if order["code_folder"] is not None:
        sys.path.insert(0, order["code_folder"])
    if order["function"] is None:
        name, module = "run", _module_of(order["source"], f"{order['stage']}.py")
    else:
        where, _, name = order["function"].rpartition(":")
        if where.endswith(".py"):
            with open(os.path.join(order["code_folder"], where), "rb") as file:
                source = file.read().decode()
            module = _module_of(source, where)
        else:
            module = importlib.import_module(where)
    function = getattr(module, name, None)
    if not callable(function):
        raise StageCodeError(f"the code defines no function {name!r}")
    return function


def _module_of(source: str, file_name: str) -> types.ModuleType:
    module = types.ModuleType(OWN_MODULE)
    module.__file__ = file_name
    sys.modules[OWN_MODULE] = module
    # So that tracebacks show the lines of a file that isn't there.
    linecache.cache[file_name] = (len(source), None, source.splitlines(keepends=True), file_name)
    exec(compile(source, file_name, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 what a stage is
    return module


def _arguments(
    function: Callable[..., Any], order: Mapping[str, Any], channel: Channel, inputs: Mapping[str, int]
) -> dict[str, Any]:
    """What the function asks for by name: results of dependencies, and `context`. Loads nothing else."""
    provided = {**order["arguments"], "context": None}
    asked = inspect.signature(function).parameters.values()
    wanted = [p for p in asked if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    missing = [p.name for p in wanted if p.name not in provided and p.default is p.empty]
    missing += [p.name for p in asked if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    if missing:
        known = ", ".join([*order["arguments"], "context"])
        raise StageCodeError(f"the function asks for {', '.join(missing)}, but can have only {known} by name")
    everything = any(p.kind is p.VAR_KEYWORD for p in asked)
    names = list(order["arguments"]) if everything else [p.name for p in wanted if p.name in order["arguments"]]
    arguments = {name: _loaded(name, order["arguments"][name], inputs) for name in names}
    if "context" not in arguments and any(p.name == "context" for p in wanted):
        arguments["context"] = Context(order, channel, OWN_MODULE)
    return arguments


def _loaded(name: str, form: Any, inputs: Mapping[str, int]) -> Any:
    if name not in inputs:
        return None
    with os.fdopen(inputs[name], "rb") as file:
        try:
            return values.read(form, file)
        except Exception as error:
            raise StageCodeError(f"argument {name!r} can't be loaded: {type(error).__name__}: {error}") from error


def _status(error: BaseException) -> str:
    if isinstance(error, values.UnstorableError):
        return "unstorable"
    if isinstance(error, MemoryError):
        return "killed_memory"
    return "output_too_large" if isinstance(error, OSError) and error.errno == errno.EFBIG else "failed"


def _described(error: BaseException, stage: str) -> dict[str, Any]:
    message = _message(error)
    if isinstance(error, SystemExit):
        message = f"the code called exit ({message or '0'}); a stage ends by returning"
    own = _own_frames(error)
    try:
        shown = "".join(traceback.TracebackException(type(error), error, own).format())
    except builtins.Exception as second:  # noqa: BLE001 code of the stage's exception
        shown = f"{type(error).__name__} (its traceback can't be shown: {type(second).__name__})\n"
    lines = [line for frame, line in traceback.walk_tb(own) if frame.f_code.co_filename == f"{stage}.py"]
    if isinstance(error, SyntaxError) and error.filename == f"{stage}.py" and error.lineno:
        lines.append(error.lineno)
    return {
        "type": type(error).__name__,
        "message": message[:SHOWN_MESSAGE],
        "traceback": shown[-SHOWN_TRACEBACK:],
        "line": lines[-1] if lines else None,
    }


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 code of the stage's exception
        return f"(its message can't be shown: {type(second).__name__})"


def _own_frames(error: BaseException) -> types.TracebackType | None:
    """The traceback from the first frame of the stage's code on."""
    frames = error.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_machinery(file_name: str) -> bool:
    return file_name.startswith((_OURS, "<frozen importlib"))
