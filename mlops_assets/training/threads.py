"""One thread for native code, wherever models are fitted.

Parallelism is between processes here. Boosting's many short parallel regions stall whenever another process
holds a core: one thread is as quick on a free machine and several times quicker on a busy one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import threadpool_limits


def one_thread() -> threadpool_limits:
    """Limit OpenMP and BLAS to one thread, from now until the end of a `with` block, if there is one."""
    # The limit reaches only libraries that are loaded.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
