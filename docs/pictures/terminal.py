"""A real terminal (a pty) in which somebody types, what it shows, and that as SVG: one picture, or one that moves."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import pyte

BACKGROUND, FRAME = "#22272e", "#545d68"
COLOURS = {
    "default": "#d1d7de", "green": "#6bc46d", "red": "#f47067", "brown": "#daaa3f", "brightblack": "#8b949e",
}  # fmt: skip
WIDTH, HEIGHT, SIZE = 9.6, 20, 16
"""Of a character's place, and of its font, in pixels."""
MARGIN, TITLE = 12, 30
FONT = "ui-monospace,SFMono-Regular,'DejaVu Sans Mono',Menlo,Consolas,monospace"
QUIET_SECONDS, LONGEST_STILL, LAST_STILL = 0.03, 1.2, 4.0


class Run(NamedTuple):
    """Characters beside each other that look the same, the first in column `at`."""

    at: int
    text: str
    colour: str
    bold: bool


Line = tuple[Run, ...]


class Frame(NamedTuple):
    """What the terminal shows, from a moment on (seconds)."""

    at: float
    lines: tuple[Line, ...]


class Terminal:
    """A bash in a terminal of a size, in a folder. A context manager: at the end it is hung up."""

    def __init__(self, columns: int, lines: int, folder: Path, path: Path) -> None:
        self.frames: list[Frame] = []
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._child, self._fd = pty.fork()
        if not self._child:
            os.chdir(folder)
            os.environ.update(PS1="$ ", TERM="xterm-256color", LANG="C.UTF-8", PATH=f"{path}:{os.environ['PATH']}")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.until(lambda shown: "$" in shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        os.waitpid(self._child, 0)

    def type(self, text: str) -> None:
        """Type it, a few keys at a time, and Enter."""
        for keys in re.findall(".{1,5}", text):
            os.write(self._fd, keys.encode())
            self._look(0.1)
        self._look(0.4)
        self.run("")

    def run(self, text: str) -> None:
        """Type it at once, and Enter."""
        os.write(self._fd, text.encode() + b"\r")

    def press(self, key: bytes) -> None:
        """Press a key, such as Ctrl-C."""
        os.write(self._fd, key)

    def kill(self) -> None:
        """`kill -9` of the program in the foreground."""
        os.kill(os.tcgetpgrp(self._fd), signal.SIGKILL)

    def until(self, shown: Callable[[str], object], seconds: float = 120) -> None:
        """Wait until what is shown is as wanted."""
        end = time.monotonic() + seconds
        while not shown("\n".join(self._screen.display)):
            if time.monotonic() > end:
                raise TimeoutError("\n".join(self._screen.display))
            self._look(0.05)

    def _look(self, seconds: float) -> None:
        """Take what comes; a frame is what is there when nothing has come for a moment."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._fd], [], [], left)[0]:
                return
            while select.select([self._fd], [], [], QUIET_SECONDS)[0]:
                # What is dim is grey: pyte does not know it.
                self._stream.feed(os.read(self._fd, 1 << 16).replace(b"\x1b[2m", b"\x1b[90m"))
            lines = tuple(self._line(number) for number in range(self._screen.lines))
            if not self.frames or lines != self.frames[-1].lines:
                self.frames.append(Frame(time.monotonic(), lines))

    def _line(self, number: int) -> Line:
        runs: list[Run] = []
        for column in range(self._screen.columns):
            char = self._screen.buffer[number][column]
            look = (char.fg, char.bold)
            if char.data == " ":
                continue
            if runs and runs[-1].at + len(runs[-1].text) >= column - 1 and runs[-1][2:] == look:
                gap = column - runs[-1].at - len(runs[-1].text)
                runs[-1] = runs[-1]._replace(text=runs[-1].text + " " * gap + char.data)
            else:
                runs.append(Run(column, char.data, *look))
        return tuple(runs)


def still(frame: Frame, columns: int, title: str) -> str:
    """One frame as SVG, without the empty lines at its end."""
    filled = max(number for number, line in enumerate(frame.lines, 1) if line)
    return _window(columns, filled, title, "".join(_drawn(line, number) for number, line in enumerate(frame.lines)))


def moving(frames: Sequence[Frame], columns: int, title: str, told: str) -> str:
    """Frames as SVG that goes round for ever: a strip of film behind the window, in which each line is drawn once.

    Who wants no motion, or has a viewer that knows none, sees the last one. `told`: what happens, in words.
    """
    known: dict[Line, str] = {}
    lasts = [min(LONGEST_STILL, after.at - before.at) for before, after in pairwise(frames)]
    whole, now = sum(lasts) + LAST_STILL, 0.0
    width = columns * WIDTH + 2 * MARGIN
    keys, strip = [], []
    for number, (frame, seconds) in enumerate(zip(frames, [*lasts, LAST_STILL], strict=True)):
        keys.append(f"{100 * now / whole:.2f}%{{transform:translateX({-number * width:.0f}px)}}")
        now += seconds
        uses = [
            f'<use href="#{known.setdefault(line, f"l{len(known)}")}" y="{place * HEIGHT}"/>'
            for place, line in enumerate(frame.lines)
            if line
        ]
        strip.append(f'<g transform="translate({number * width:.0f})">{"".join(uses)}</g>')
    lines = "".join(f'<g id="{name}">{_drawn(line, 0)}</g>' for line, name in known.items())
    last = f"transform:translateX({-(len(frames) - 1) * width:.0f}px)"
    style = (
        f".film{{{last};animation:film {whole:.1f}s step-end infinite}}@keyframes film{{{''.join(keys)}}}"
        f"@media(prefers-reduced-motion:reduce){{.film{{animation:none}}}}"
    )
    body = f'<defs>{lines}</defs><g class="film">{"".join(strip)}</g>'
    return _window(columns, len(frames[0].lines), title, body, style, told)


def _window(columns: int, lines: int, title: str, body: str, style: str = "", told: str = "") -> str:
    width, height = round(columns * WIDTH + 2 * MARGIN), lines * HEIGHT + TITLE + 2 * MARGIN
    looks = "".join(f".{name}{{fill:{colour}}}" for name, colour in COLOURS.items())
    dots = "".join(f'<circle cx="{20 + 20 * n}" cy="17" r="6" fill="{FRAME}"/>' for n in range(3))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>{escape(told or title)}</title>
<style>text{{font:{SIZE}px {FONT};white-space:pre}}.b{{font-weight:700}}{looks}{style}</style>
<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" fill="{BACKGROUND}" stroke="{FRAME}"/>
{dots}<text x="{width / 2}" y="22" text-anchor="middle" class="brightblack">{escape(title)}</text>
<svg y="{TITLE + MARGIN}" width="{width}" height="{lines * HEIGHT}">{body}</svg>
</svg>
"""


def _drawn(line: Line, number: int) -> str:
    y = number * HEIGHT + SIZE - 1
    return "".join(
        f'<text x="{MARGIN + run.at * WIDTH:.1f}" y="{y}" textLength="{len(run.text) * WIDTH:.1f}" '
        f'class="{run.colour}{" b" * run.bold}">{escape(run.text, quote=False)}</text>'
        for run in line
    )
