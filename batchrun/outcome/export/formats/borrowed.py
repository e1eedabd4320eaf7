"""Files that are lent to a library which closes whatever it is given."""

from typing import IO


class Borrowed:
    """A file that is not closed with the writer that it is lent to."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush, self.tell = file.write, file.flush, file.tell

    def close(self) -> None:
        """Leave it open."""
