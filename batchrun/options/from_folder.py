"""Paths in a configuration file are meant from its folder, in each form that an option names one."""

from pathlib import Path


def path(folder: Path, said: str) -> str:
    """A path; the address of a table is itself."""
    return said if "://" in said else str(folder / said)


def text(folder: Path, said: str) -> str:
    """`@FILE`; any other text is itself."""
    return f"@{folder / said[1:]}" if said.startswith("@") else said


def task(folder: Path, said: str) -> str:
    """`file.py:function`; a module's name is itself."""
    file, _, function = said.rpartition(":")
    return f"{folder / file}:{function}" if ".py:" in said else said
