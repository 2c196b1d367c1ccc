"""What is wrong with a stage's Python text. It is compiled and never executed.

Add here what can be told from the text alone. Keep out running it: that belongs to the stage's own process.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Iterator, Sequence
from types import CodeType

from mlops_assets.pipelines.problem import did_you_mean

MAX_SOURCE_BYTES = 256 * 1024
CONTEXT = "context"

# Compiling warns through filters that all threads share; two that restore them at the same time would mix them up.
_filters = threading.Lock()


def source_faults(source: str, dependencies: Sequence[str]) -> Iterator[str]:
    """Why the text can't be the source of a stage with these dependencies; nothing if it can."""
    size = len(source.encode("utf-8", "surrogatepass"))
    if size > MAX_SOURCE_BYTES:
        yield f"{size // 1024} KB of source; the limit is {MAX_SOURCE_BYTES // 1024} KB"
        return
    try:
        code = _compiled(source)
    except SyntaxError as error:
        column = f", column {error.offset}" if error.offset else ""
        yield f"line {error.lineno or 1}{column}: {error.msg}"
    except (RecursionError, MemoryError):
        yield "an expression or a block is nested too deeply"
    except (ValueError, OverflowError) as error:
        yield f"doesn't compile: {error}"
    else:
        run = _run_of(code)
        if run is None:
            yield "defines no function run at the top level"
        else:
            yield from _run_faults(run, dependencies)


def _compiled(source: str) -> CodeType:
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(source, "<source>", "exec", dont_inherit=True)


def _run_of(code: CodeType) -> CodeType | None:
    """The code of the last top-level `def run`. A class has code too, but no fast locals."""
    functions = [c for c in code.co_consts if isinstance(c, CodeType) and c.co_flags & inspect.CO_OPTIMIZED]
    return next((function for function in reversed(functions) if function.co_name == "run"), None)


def _run_faults(run: CodeType, dependencies: Sequence[str]) -> Iterator[str]:
    here = f"line {run.co_firstlineno}: run"
    if run.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        yield f"{here} is async; a stage has its own process, so write a plain def"
    if run.co_flags & inspect.CO_GENERATOR:
        yield f"{here} yields; return the result as a whole"
    if run.co_flags & inspect.CO_VARARGS:
        yield f"{here} takes *{run.co_varnames[run.co_argcount + run.co_kwonlyargcount]}; arguments come by name"
    if run.co_posonlyargcount:
        yield f"{here} has arguments by position only; arguments come by name"
    names = run.co_varnames[: run.co_argcount + run.co_kwonlyargcount]
    for name in names:
        if name != CONTEXT and name not in dependencies:
            close = did_you_mean(name, [*dependencies, CONTEXT])
            yield f"{here} has the argument {name!r}, which is neither a dependency nor context{close}"
    if not run.co_flags & inspect.CO_VARKEYWORDS:
        for name in dict.fromkeys(dependencies):
            if name not in names:
                yield f"{here} has no argument for the dependency {name!r}; add it, or take **results"
