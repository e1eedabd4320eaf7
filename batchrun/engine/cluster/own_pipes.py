"""A process's own pipes, out of the way of what else runs in it."""

import os


def pipes_aside() -> tuple[int, int]:
    """Move stdin and stdout to where neither a stray print nor a row that uses a low descriptor finds them.

    Returns both. What is printed from now on goes to stderr.
    """
    inbox, outbox = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return inbox, outbox
