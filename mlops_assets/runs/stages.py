"""The rules that every stage has: how long one try may take, when it is tried again, and that it tells what it used.

Add here what shall hold for any stage of any product. Keep out what a stage does. Retries are asked for here and
not by Dagster's `retry_policy`, which would also retry errors that stay, and a run that somebody terminates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import dagster as dg

from mlops_assets.runs import usage
from mlops_assets.runs.retries import RETRY, may_pass
from mlops_assets.runs.stage_limits import TimeLimitError, time_limit

# Tags of a step, for whoever looks at a run or at the definitions from outside.
TIME_LIMIT_TAG = "mlops/time_limit_seconds"
RETRIES_TAG = "mlops/retries"
TITLE_TAG = "mlops/stage"

Body = TypeVar("Body", bound=Callable[..., Any])


@dataclass(frozen=True)
class Stage:
    """The rules of stage `name` of `product`: use it as a decorator below `@dg.asset`, with its `op_tags`."""

    product: str
    name: str
    seconds: float
    retry: dg.RetryPolicy = RETRY

    @property
    def title(self) -> str:
        """How people are told of it."""
        return f"stage {self.name} of {self.product}"

    @property
    def op_tags(self) -> dict[str, str]:
        """What the watch from outside and the page on automation read."""
        return {
            TITLE_TAG: self.title,
            TIME_LIMIT_TAG: f"{self.seconds:g}",
            RETRIES_TAG: str(self.retry.max_retries),
        }

    def __call__(self, body: Body) -> Body:
        """The same function under these rules; its first argument is Dagster's context."""

        @functools.wraps(body)
        def ruled(context: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                with usage.metered() as meter:
                    with time_limit(self.seconds):
                        result = body(context, *args, **kwargs)
                    return with_usage(result, meter.so_far())
            except TimeLimitError as late:
                # A stage that needed longer than its limit would need as long again.
                raise dg.Failure(too_long(self.title, self.seconds), allow_retries=False) from late
            except Exception as error:
                tried = context.retry_number
                if tried >= self.retry.max_retries or not may_pass(error):
                    raise
                wait = self.retry.calculate_delay(tried + 1)
                raise dg.RetryRequested(self.retry.max_retries, seconds_to_wait=wait) from error

        return cast("Body", ruled)


def with_usage(result: Any, used: usage.Used) -> Any:
    """What a stage returned, and its figures among the metadata if it is a MaterializeResult; its own entries win."""
    if not isinstance(result, dg.MaterializeResult):
        return result
    return result._replace(metadata={**used.as_metadata(), **(result.metadata or {})})


def too_long(title: str, seconds: float) -> str:
    """The reason of the failure, the same from inside and from outside."""
    return f"{title} took longer than {seconds:g} s"
