"""Text on its way into a file, compressed. The file stays the caller's."""

import gzip
from contextlib import AbstractContextManager
from typing import IO, Any

from .borrowed import Borrowed


def _gzip(sink: IO[bytes]) -> AbstractContextManager[Any]:
    return gzip.GzipFile("", "wb", 6, sink, mtime=0)  # the same results are the same bytes


def _zstd(sink: IO[bytes]) -> AbstractContextManager[Any]:
    import pyarrow as pa  # whoever compresses otherwise does not wait for it

    return pa.CompressedOutputStream(pa.PythonFile(Borrowed(sink), mode="w"), "zstd")  # type: ignore[no-any-return]


COMPRESSORS = {".gz": _gzip, ".zst": _zstd}
