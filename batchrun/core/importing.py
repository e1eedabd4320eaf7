"""The order in which modules are looked for: Python's own before all others."""

import os
import sys


def own_first(path: list[str]) -> list[str]:
    """The folders of `sys.path`, those of the standard library first.

    Python looks beside the script, or in the working directory, first of all: a `statistics.py` among the data, which
    anybody may have put there, would be run in the place of Python's own by whoever imports that. (Nothing is imported
    here that such a file could be.)
    """
    return sorted(path, key=lambda folder: not _is_own(folder))


def _is_own(folder: str) -> bool:
    library = os.path.dirname(os.__file__)
    zipped = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return folder in (library, os.path.join(library, "lib-dynload")) or (
        os.path.basename(folder) == zipped and os.path.dirname(folder) == os.path.dirname(library)
    )
