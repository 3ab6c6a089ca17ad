"""Where the time and the memory of a bundle go on a device, and under which conditions.

`profile_session` measures an open session; ``edgekit profile`` goes through `edgekit.profiling.conduct`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.profiling.record import Profile
    from edgekit.session import Session


def profile_session(session: Session, x: Any = None, *, runs: int = 200, warmup: int = 20) -> Profile:
    """Measures an open session in this process: see `edgekit.profiling.conduct.profile_session`."""
    from edgekit.profiling import conduct  # here: the processes that measure import this package

    return conduct.profile_session(session, x, runs=runs, warmup=warmup)
