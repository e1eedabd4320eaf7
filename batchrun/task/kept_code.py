"""The task's files as they were when the run began: a worker that starts later loads these, whatever became of them.

See docs/decisions/0023-a-run-keeps-its-code.md.
"""

import linecache
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import xxhash

from batchrun.core.ownership import read_regular
from batchrun.errors import ChangedError

from .notice import say_notice

MOST_BYTES = 4 << 20
_LARGEST = 64 << 20
_kept: dict[str, bytes] = {}


def load_as_begun(sources: Mapping[str, bytes]) -> None:
    """In a worker, before it loads the task: those files that are not what they were are imported as they were.

    `sources`: path and content. The user is told, for the next run will load what is there.
    """
    changed = {path: content for path, content in sources.items() if _on_disk(path) != content}
    if not changed:
        return
    _kept.update(changed)
    sys.meta_path.insert(0, _Finder())
    for path, content in changed.items():  # for the lines of tracebacks
        lines = content.decode("utf-8", "replace").splitlines(keepends=True)
        linecache.cache[path] = (len(content), None, lines, path)
    names = ", ".join(sorted(Path(path).name for path in changed))
    say_notice(
        f"note: {names} changed during the run; this run continues with the old version, the next run uses the new one"
    )


def contents_as_begun(sources: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """In the coordinator: path and content of files, given as path and digest; nothing if they are too many to carry.

    Raises `ChangedError` if one of them is not what it was when its digest was made.
    """
    found: dict[str, bytes] = {}
    for path, digest in sources:
        content = _on_disk(path)
        if (content_digest(content) if content is not None else "") != digest:
            raise ChangedError(f"{path} was changed before the first row ran", "run the same command again")
        if content is not None:
            found[path] = content
    return found if sum(map(len, found.values())) <= MOST_BYTES else {}


def content_digest(content: bytes) -> str:
    """The digest of a source file, as it goes into the task's version, whatever ends its lines."""
    return xxhash.xxh3_128_hexdigest(content.replace(b"\r\n", b"\n"))


def content_of(path: str) -> bytes:
    """What the run takes for the content of a source file. Raises `OSError` if it cannot be read.

    The path may stand in a checkpoint that somebody sent: no pipe or device is read, nor what is too large for code.
    """
    return _kept[path] if path in _kept else read_regular(Path(path), _LARGEST)


def is_there(path: str) -> bool:
    """Whether the run has such a file."""
    return path in _kept or Path(path).is_file()


def _on_disk(path: str) -> bytes | None:
    try:
        return read_regular(Path(path), _LARGEST)
    except OSError:
        return None


class _Finder:
    """Finds modules whose files are kept, where they would be found if they were still there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.rpartition(".")[2]
        for folder in sys.path if path is None else path:
            for file in (os.path.join(folder, name, "__init__.py"), os.path.join(folder, f"{name}.py")):
                if file in _kept:
                    return spec_from_file_location(fullname, file, loader=_Loader(fullname, file))
                if os.path.exists(file):
                    return None
        return None


class _Loader(SourceFileLoader):
    """Compiles what is kept. There is no compiled code of it."""

    def get_data(self, path: str) -> bytes:
        return content_of(path)

    def path_stats(self, path: str) -> Mapping[str, object]:
        raise OSError(f"{path} is kept in memory")
