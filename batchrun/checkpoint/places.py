"""Where things are: the checkpoint's folder and the files in it."""

import errno
import os
import re
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from batchrun.core.ownership import NotOurs, may_be_changed, unfit, whose
from batchrun.errors import CheckpointError, UsageError
from batchrun.table.members import PATTERN_ENDING, stand_in

_LONGEST_SOCKET = 64
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_TABLES = (*_TEXTS, ".parquet", ".pq", ".xlsx", ".xlsm", ".db", ".sqlite", ".sqlite3")
_ENDINGS = (PATTERN_ENDING, *_COMPRESSED, *_TABLES)


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one task's checkpoint for one input."""

    input: Path
    folder: Path
    name: str

    @property
    def checkpoint(self) -> Path:
        """The SQLite file."""
        return self.folder / f"{self.name}.sqlite"

    @property
    def lock(self) -> Path:
        """Held by the current run."""
        return self.folder / f"{self.name}.lock"

    @property
    def log(self) -> Path:
        """What workers print, and warnings."""
        return self.folder / f"{self.name}.log"

    @property
    def inflight(self) -> Path:
        """Which rows are running (see `inflight`)."""
        return self.folder / f"{self.name}.inflight"

    @property
    def roll(self) -> Path:
        """What the last pass over the table has found (see `roll`). Nothing is lost with it but time."""
        return self.folder / f"{self.name}.roll"

    @property
    def socket(self) -> Path:
        """Where the current run listens (see `remote`); a socket's name has to be short."""
        name = os.fsencode(self.name)
        short = self.name if len(name) <= _LONGEST_SOCKET else blake2b(name, digest_size=8).hexdigest()
        return self.folder / f"{short}.sock"

    @property
    def beside(self) -> bool:
        """Whether the folder is the one beside the table, which no other table can have."""
        return self.folder == folder_of(self.input, None)

    def results(self, ending: str, *, first: bool) -> Path:
        """The results file if no other is named, beside `data.csv`: `data.results.csv` of its first task,
        `data.NAME.results.csv` of any other.
        """
        return self._beside(f"results{ending}" if first else f"{self.name}.results{ending}")

    @property
    def report(self) -> Path:
        """The report if no other file is named: `data.report.html` beside `data.csv`."""
        return self._beside("report.html")

    def _beside(self, ending: str) -> Path:
        table = stand_in(self.input)
        place = self.folder.parent if table.parent == self.folder else table.parent
        stem = table.name
        for suffix in _ENDINGS:
            stem = stem.removesuffix(suffix)
        return place / f"{stem or table.name}.{ending}"


def folder_of(input_path: Path, directory: Path | None) -> Path:
    """`DIR/data.csv.batchrun/`, DIR being the input's own folder if none is given; of a pattern, see `stand_in`."""
    path = stand_in(Path(os.path.abspath(input_path)))
    if path.parent.name == f"{path.name}.batchrun":  # it is kept there
        return path.parent
    return (directory or path.parent) / f"{path.name}.batchrun"


def places_of(input_path: Path, directory: Path | None, name: str) -> Places:
    """The places of the checkpoint called `name`."""
    path = Path(os.path.abspath(input_path))
    return Places(path, folder_of(path, directory), safe(name))


def safe(name: str) -> str:
    """A task's name as the name of a file."""
    return re.sub(r"[^\w.-]+", "_", name) or "task"


def names_in(folder: Path) -> list[str]:
    """The tasks that have a checkpoint in a folder."""
    return sorted(path.stem for path in folder.glob("*.sqlite"))


def tables_below(folder: Path, names: Callable[[Path], list[str]] = names_in) -> list[tuple[Path, Path]]:
    """Every table that has a checkpoint of ours in `folder` or below: its path as if beside it, and `--dir` for it.

    `names`: which checkpoints count.
    """
    found = (place for place in sorted(folder.rglob("*.batchrun")) if _is_ours(place) and names(place))
    return [(place.with_name(place.name.removesuffix(".batchrun")), place.parent) for place in found]


def _is_ours(place: Path) -> bool:
    with suppress(OSError):
        return place.is_dir() and not (whose(place.lstat()) or whose(place.stat()))
    return False


def check_folder(folder: Path, names: str = "") -> None:
    """Raise `CheckpointError` for a checkpoint's folder that is there and that others than this user and root could
    have filled, and for a link, a pipe or somebody else's file in it. `names`: how the names begin that are looked at.
    """
    try:
        _check_place(folder)
        with os.scandir(folder) as entries:
            for entry in (each for each in entries if each.name.startswith(names)):
                found = entry.stat(follow_symlinks=False)
                why = whose(found) if stat.S_ISDIR(found.st_mode) or stat.S_ISSOCK(found.st_mode) else unfit(found)
                if why:
                    raise NotOurs(Path(entry), why)
    except NotOurs as error:
        whole = error.filename == str(folder)
        mend = (
            f"if everything in it is yours, run 'chmod 700 {folder}' (and chown); or choose another folder with --dir"
        )
        raise CheckpointError(
            f"{error.filename} {error.strerror}, so {'its contents are' if whole else f'{folder} is'} not trusted",
            mend if whole else "check what it is and remove it, or choose another folder with --dir",
        ) from None
    except OSError:  # it is not there, or what opens it will say why it cannot
        return


def _check_place(folder: Path) -> None:
    """Raise `NotOurs` for a folder, or a link to one, that others could have put there or may write to."""
    link, found = os.lstat(folder), os.stat(folder)
    if why := whose(link) or whose(found):
        raise NotOurs(folder, why)
    if may_be_changed(found):
        raise NotOurs(folder, "can be changed by other users")


def prepare(folder: Path) -> None:
    """Make the checkpoint's folder, for its owner only. Raises `CheckpointError` with the remedy."""
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _keep(folder)
        check_folder(folder)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
        probe = folder / f".probe-{os.getpid()}-{threading.get_ident()}"
        probe.unlink(missing_ok=True)
        probe.touch(mode=0o600, exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be written: {error.strerror}",
            "check its permissions, or choose another folder with --dir",
        ) from error


def _keep(folder: Path) -> None:
    """Make a new folder durable: what is in it is worth nothing if its name is lost in a power cut."""
    for place in (folder, folder.parent):
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that cannot sync folders
                raise
        finally:
            os.close(fd)


def find(input_path: Path, directory: Path | None, name: str | None) -> Places:
    """The checkpoint called `name`, or the only one that an input has. Raises `UsageError` listing what there is, and
    `CheckpointError` for a folder that is not ours alone.
    """
    folder = folder_of(input_path, directory)
    check_folder(folder)
    names = names_in(folder)
    if name is None and len(names) > 1:
        raise UsageError(
            f"{input_path} has checkpoints of several tasks: {', '.join(names)}",
            "say which with --task or --name",
        )
    wanted = safe(name) if name else "".join(names)
    if wanted not in names:
        which = f" of a task called {name!r}" if name else ""
        have = (
            f"it has: {', '.join(names)}"
            if names
            else f"'batchrun process {input_path} --task file.py:function' makes one"
        )
        raise UsageError(f"{input_path} has no checkpoint{which} in {folder}", have)
    return places_of(input_path, directory, wanted)
