"""Tables at an address: fetched through fsspec into the checkpoint's folder, once for each version of them.

Beside the table `NAME` a file `NAME.origin` says where it came from and which version it is: ETag, or whatever the
server tells. While that stays the same, the table is not fetched again.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from batchrun.core.installing import how_to_install_extra
from batchrun.errors import BatchrunError, CheckpointError, InputError, Interrupted, UsageError

from .atomic import replacing
from .kept import as_said, kept_path

_ADDRESS = re.compile(r"(https?|s3a?|gcs|gs):/+(.+)", re.DOTALL)
_SECONDS = 60
_BLOCK = 1 << 20
_RANGE = 8 << 20
_VERSION = ("ETag", "etag", "VersionId", "generation", "Content-MD5", "Last-Modified", "LastModified", "size")
"""What servers tell of a version, by the names that fsspec has for it."""


def address_of(table: Path | str | None) -> str | None:
    """The address, if a table is named by one. (As a path it has lost a slash.)"""
    found = _ADDRESS.fullmatch(str(table))
    return f"{found[1]}://{found[2]}" if found else None


def fetched_path(address: str, directory: Path | None) -> Path:
    """Where the table of an address is kept: under the last part of it."""
    name = unquote(urlsplit(address).path.rstrip("/").rpartition("/")[2])
    if not name or name.endswith(".sqlite"):
        raise UsageError(f"{_shown(address)} does not end in a file name", "give the address of one file")
    return kept_path(name, directory)


def check_place(address: str, path: Path) -> None:
    """Raise `UsageError` if the place of an address is that of another table."""
    other = _origin(path).get("address")
    if other is not None and other != _shown(address):
        raise UsageError(
            f"{path.parent} holds the table from {other}, not from {_shown(address)}",
            "choose another folder with --dir",
        )
    if as_said(path).exists():
        raise UsageError(
            f"{as_said(path)} already exists, and its checkpoint would be in the same place as the address's",
            "choose another folder with --dir, or give the file's own name",
        )


def fetch(address: str, path: Path, stop: Callable[[], int]) -> None:
    """Keep the table of an address at `path`, for this user alone, unless it is there in the same version.

    Raises `InputError` if it cannot be had as a whole, `UsageError` if a package is missing, `Interrupted` by a signal.
    """
    with _explained(address, path):
        files, where = _opened(address)
        before = _version(files.info(where))
    if path.exists() and _is_known(before) and _origin(path).get("version") == before:
        return
    try:
        with replacing(path, mode=0o600) as file:
            for block in _blocks(address, path, files, where):
                if signum := stop():
                    raise Interrupted(signum, "interrupted while the table was fetched; nothing was changed")
                file.write(block)
            with _explained(address, path):
                _check_whole(address, file.tell(), before, _version(files.info(where)))
        with replacing(path.with_name(f"{path.name}.origin"), mode=0o600) as file:
            file.write(json.dumps({"address": _shown(address), "version": before}).encode())
    except OSError as error:  # of our own files: those of the server are explained
        raise CheckpointError(
            f"the table cannot be kept in {path}: {error.strerror or error}",
            "free some space, check permissions, or choose another folder with --dir",
        ) from error


def _blocks(address: str, path: Path, files: Any, where: str) -> Iterator[bytes]:
    # As a stream from a web server, which may know no ranges; in ranges, each tried again, from a bucket.
    size = 0 if address.startswith("http") else _RANGE
    with _explained(address, path), files.open(where, "rb", block_size=size) as source:
        while block := source.read(_BLOCK):
            yield block


def _check_whole(address: str, size: int, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    if after != before:
        raise InputError(
            f"{_shown(address)} changed while it was fetched",
            "Run the same command again once nothing is writing to it.",
        )
    if size != int(before.get("size", size)):
        raise InputError(f"{_shown(address)} arrived only in part", "Run the same command again.")


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {"use_listings_cache": False}
    if address.startswith("http"):
        from aiohttp import ClientTimeout

        options["client_kwargs"] = {
            "timeout": ClientTimeout(total=None, sock_connect=30, sock_read=60),
            "trust_env": True,
        }
    files, where = url_to_fs(address, skip_instance_cache=True, **options)
    return files, where


def _version(info: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(info[name]) for name in _VERSION if info.get(name) is not None}


def _is_known(version: Mapping[str, str]) -> bool:
    """Whether another version would be told: a size alone does not."""
    return bool(version.keys() - {"size"})


def _origin(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.with_name(f"{path.name}.origin").read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def _shown(address: str) -> str:
    """Without what may be secret: a password, and the query of a signed address."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


@contextmanager
def _explained(address: str, path: Path) -> Iterator[None]:
    goes_on = f"; 'batchrun process {path.name}' uses the copy that was kept" if path.exists() else ""
    try:
        yield
    except BatchrunError:
        raise
    except ImportError as error:
        raise UsageError(
            f"{_shown(address)}: fetching it needs packages that are not installed ({error})",
            f"{how_to_install_extra('remote')}, or download the file{goes_on}",
        ) from error
    except Exception as error:
        why = _cause(error)
        status = getattr(why, "status", None)  # of a web server
        if isinstance(why, FileNotFoundError) or status in (404, 410):
            raise InputError(f"{_shown(address)} does not exist", f"Check the address{goes_on}.") from error
        if isinstance(why, PermissionError) or status in (401, 403):
            raise InputError(
                f"{_shown(address)}: access denied",
                "Check the credentials (those of AWS and Google are found as usual; FSSPEC_S3_ANON=true uses none)"
                f"{goes_on}.",
            ) from error
        said = str(why).strip().partition("\n")[0] or type(why).__name__
        raise InputError(
            f"{_shown(address)} cannot be fetched: {said}", f"Check the address and the network{goes_on}."
        ) from error


def _cause(error: BaseException) -> BaseException:
    """What is behind an error: of a web server, fsspec says of all of them that there is no such file."""
    return error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
