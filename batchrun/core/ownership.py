"""Whose a file or folder is, and opening only what is ours. Other users of the machine are not trusted; root is."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_MOST_LINKS = 40
"""How many links the kernel itself follows in one path."""


class NotOurs(PermissionError):
    """A file that is not opened: it is a link, a pipe or a device, or belongs to somebody else."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


def stranger_to(path: Path) -> str | None:
    """Who else than this user and root could change what stands at `path`, in words; None if nobody could.

    Each folder down to it counts, and each link on the way: who may write to one can put something else there. In
    a folder with the sticky bit (such as /tmp) only the owner of an entry can.
    """
    for place in _way_to(path.absolute()):
        found = os.lstat(place)
        if why := whose(found):
            return f"{place} {why}"
        if may_be_changed(found) and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX):
            return f"{place} can be changed by other users"
    return None


def whose(found: os.stat_result) -> str | None:
    """That a file or folder belongs to somebody who is neither this user nor root, in words."""
    return None if found.st_uid in (os.geteuid(), 0) else f"belongs to {user_name(found.st_uid)}"


def unfit(found: os.stat_result) -> str | None:
    """Why a file is not opened, in words: it is a link, a pipe or a device, or belongs to somebody else."""
    if stat.S_ISLNK(found.st_mode):
        return "is a link"
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    return whose(found)


def may_be_changed(found: os.stat_result) -> bool:
    """Whether others than its owner may write to a file or folder, by its mode.

    A group that has this user alone (as each user of Debian or Fedora has one) is not others, nor is root's.
    """
    if stat.S_ISLNK(found.st_mode):
        return False
    of_group = bool(found.st_mode & stat.S_IWGRP) and not _is_own_group(found.st_gid)
    return of_group or bool(found.st_mode & stat.S_IWOTH)


def open_own(path: Path, flags: int, mode: int = 0o600) -> int:
    """`os.open` of a regular file of this user's or root's: follows no link, never waits.

    Raises `NotOurs` for anything else, and `OSError` as `os.open` does.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    except OSError:
        check_own(path)  # says more than the error of a link or a pipe
        raise
    if why := unfit(os.fstat(fd)):
        os.close(fd)
        raise NotOurs(path, why)
    return fd


def read_own(path: Path, most: int = -1) -> bytes:
    """What is in a regular file of this user's or root's, at most so many bytes. Raises `OSError`."""
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read(most)


def read_regular(path: Path, most: int) -> bytes:
    """What is in a regular file, whoever it belongs to. Never waits. Raises `OSError`, also for more than `most`."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise NotOurs(path, "is not a regular file")
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return found


def check_own(path: Path) -> None:
    """Raise `NotOurs` for what `open_own` would not open, if anything is there."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if why := unfit(found):
        raise NotOurs(path, why)


def user_name(user: int) -> str:
    """A user in words."""
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _is_own_group(group: int) -> bool:
    import grp
    import pwd

    if group == 0:
        return True
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return (found.gr_gid, found.gr_name) == (user.pw_gid, user.pw_name) and set(found.gr_mem) <= {user.pw_name}


def _way_to(path: Path) -> Iterator[Path]:
    """Each folder, link and file that has a say in what an absolute path means."""
    at, parts, links = Path("/"), list(reversed(path.parts[1:])), 0
    yield at
    while parts:
        part = parts.pop()
        if part == "..":
            at = at.parent
            continue
        yield at / part
        if links < _MOST_LINKS and (at / part).is_symlink():
            links += 1
            to = Path(os.readlink(at / part))
            parts += reversed(to.parts[to.is_absolute() :])
            at = Path("/") if to.is_absolute() else at
        else:
            at = at / part
