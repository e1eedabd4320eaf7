"""`batchrun` and `python -m batchrun`."""

import signal

_by_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _by_default:
    # Ctrl-C while the program is being loaded ends it, without the traceback of an import.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from . import cli  # noqa: E402


def main() -> None:
    """Run a command, and leave with its exit code."""
    if _by_default:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


if __name__ == "__main__":
    main()
