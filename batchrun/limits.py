"""What the system allows this process."""

import resource

from .errors import UsageError

A_LANE = 8
BESIDES = 100


def allow_descriptors(lanes: int) -> None:
    """Raise this process's own limit of open files as far as so many lanes need, and no further.

    Raises `UsageError` where the system does not allow that many.
    """
    need = lanes * A_LANE + BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= need or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < need:
        most = max(1, (hard - BESIDES) // A_LANE)
        raise UsageError(
            f"--jobs {lanes} needs {need:,} open files, and the system allows {hard:,}",
            f"raise the limit (ulimit -Hn {need}), or give --jobs {most} at most",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
