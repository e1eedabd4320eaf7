"""Draws the pictures of the live view and of the report, from real runs: `make pictures`, which takes five minutes.

The plots of docs/performance.md come from `make bench`. Needs a Chromium for the report.
"""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from terminal import Terminal, moving, still

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BIN = Path(sys.executable).parent
ASK = """
import random, time
from tasks import match

def ask(row):
    '''Stands for a call that takes its time, costs money, and may fail.'''
    time.sleep(random.lognormvariate(-2.7, 0.5))
    if random.random() < 0.02:
        raise ConnectionError("no answer")
    return match(row)
"""
PRICE = """
import os, random, time

def price(row):
    time.sleep(random.lognormvariate(-2.5, 0.6) if row["item"] % 800 else 6)
    if random.random() < 0.012:
        raise LookupError(f"no price for item {row['item']}")
    if row["item"] == 1_203:
        os.abort()
    return {"item": row["item"], "price": round(random.lognormvariate(3, 1), 2)}
"""
LONG = """
import asyncio, os, random, time
import batchrun

BEGAN = float(os.environ["BEGAN"])

async def price(row):
    await asyncio.sleep(random.lognormvariate(-2.2, 0.5))
    now = time.time() - BEGAN
    if 18 < now < 23 and random.random() < 0.35:
        raise ConnectionError("the service does not answer")
    if 30 < now < 31 and random.random() < 0.1:
        raise batchrun.RetryLater(1)
    if row["item"] % 600 == 0:
        raise batchrun.Skip("not for sale")
    if row["item"] % 3_000 == 7:
        await asyncio.sleep(30)
    if row["item"] % 817 == 5:
        raise LookupError(f"no price for item {row['item']}")
    return {"price": round(random.lognormvariate(3, 0.8), 2), "currency": random.choices(["EUR", "USD"], [3, 1])[0],
            "stock": row["item"] % 40 if row["item"] % 9 else None}
"""
SHORT = """
import random, time

def weight(row):
    time.sleep(random.lognormvariate(-3.6, 0.6))
    if row["species"] == "Gentoo penguin (Pygoscelis papua)" and row["row"] % 41 == 0:
        raise ValueError(f"a weight of {row['row']} g cannot be true")
    return {"species": row["species"].split()[0], "kg": round(random.normalvariate(4.2, 0.6), 2)}
"""


def recording(folder: Path) -> None:
    """A run that is killed, and resumed by the same command."""
    for name in ("airport_pairs.csv", "tasks.py"):
        shutil.copy(ROOT / "sample_data" / name, folder)
    (folder / "lookup.py").write_text(ASK)
    command = "batchrun process airport_pairs.csv --task lookup.py:ask --jobs 8"
    with Terminal(80, 24, folder, BIN) as terminal:
        terminal.type(command)
        terminal.until(lambda shown: settled(shown) > 420)
        terminal.kill()
        terminal.until(lambda shown: "Killed" in shown)
        terminal.type("# That was kill -9. The same command does what is left, and nothing else:")
        terminal.type(command)
        terminal.until(lambda shown: shown.rstrip().endswith("$") and "finished after" in shown)
        frames = terminal.frames
    told = "A job of 1,000 rows is killed with kill -9 on its way; the same command does what is left"
    (HERE / "resumed.svg").write_text(moving(frames, 80, "batchrun", told), encoding="utf-8")


def live(folder: Path) -> None:
    """The live view in three widths: a job, then the rest of it after Ctrl-C; and a prompt that costs money."""
    (folder / "prices.py").write_text(PRICE)
    orders = "".join(f"{n},{n % 7 + 1}\n" for n in range(1, 5_001))
    (folder / "orders.csv").write_text(f"item,pieces\n{orders}")
    command = "clear; batchrun process orders.csv --task prices.py:price --jobs 12 --retries 1"
    picture(folder, "live", (80, 24), command, 2_000, then=b"\x03")
    picture(folder, "live-narrow", (60, 20), command, 1_300)
    with model() as url:
        reviews = "".join(f"{n},Review {n}: the product does what it says\n" for n in range(1, 20_001))
        (folder / "reviews.csv").write_text(f"id,text\n{reviews}")
        command = (
            "clear; batchrun process reviews.csv --prompt 'Is review {id} happy? {text}' --fields 'happy bool' "
            f"--model loopback --base-url {url} --jobs 40 --price-in 0.4 --price-out 1.6 --max-cost 20"
        )
        picture(folder, "live-wide", (120, 40), command, 850)


def picture(folder: Path, name: str, size: tuple[int, int], command: str, rows: int, then: bytes = b"\x03\x03") -> None:
    """The terminal when so many rows are settled, and a key after that."""
    with Terminal(*size, folder, BIN) as terminal:
        terminal.run(command)
        terminal.until(lambda shown: settled(shown) > rows)
        frame = terminal.frames[-1]
        for key in then:
            terminal.press(bytes([key]))
        terminal.until(lambda shown: shown.rstrip().endswith("$"))
    (HERE / f"{name}.svg").write_text(still(frame, size[0], f"{size[0]} × {size[1]}"), encoding="utf-8")


def settled(shown: str) -> int:
    """How many rows the view says are settled."""
    found = re.findall(r"([\d,]+) of [\d,]+ rows", shown)
    return int(found[-1].replace(",", "")) if found else 0


@contextmanager
def model() -> Iterator[str]:
    """A language model's server on loopback; its address."""
    sys.path.insert(0, str(ROOT / "tests"))
    import llm_server

    llm_server.USAGE.update(prompt_tokens=350, completion_tokens=40, total_tokens=390)
    with llm_server.Server() as server:
        server.seconds = 0.7
        server.answer = lambda row: "I am not sure that I can tell." if row % 290 == 7 else '{"happy": true}'
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.url
        server.shutdown()


def report(folder: Path) -> None:
    """The page about a job of 100,000 rows in three runs, and about a short one with three failures."""
    long_job(folder)
    short_job(folder)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = partial(photograph, browser)
        page(folder / "orders.report.html", "report", 1000, 1900, "light")
        page(folder / "orders.report.html", "report-dark", 1000, 1900, "dark")
        page(folder / "orders.report.html", "report-phone", 375, 1560, "light")
        page(folder / "orders.report.html", "report-phone-dark", 375, 1560, "dark")
        page(folder / "penguins.report.html", "report-small", 1000, 1500, "light")
        page(folder / "penguins.report.html", "report-small-phone", 375, 1560, "dark")


def long_job(folder: Path) -> None:
    """Its first run is interrupted after 45 seconds, the second killed, the third goes to the end."""
    (folder / "tasks.py").write_text(LONG)
    orders = "".join(f"{n},{n % 7 + 1}\n" for n in range(1, 100_001))
    (folder / "orders.csv").write_text(f"item,pieces\n{orders}")
    command = [BIN / "batchrun", "process", "orders.csv", "--task", "tasks.py:price", "--timeout", "8", "--quiet"]
    environment = {**os.environ, "BEGAN": str(time.time())}
    for jobs, seconds, signum in ((150, 45, signal.SIGINT), (75, 25, signal.SIGKILL), (150, None, None)):
        run = subprocess.Popen([*command, "--jobs", str(jobs)], cwd=folder, env=environment)
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            run.send_signal(signum)
            run.wait()
    subprocess.run([BIN / "batchrun", "report", "orders.csv"], cwd=folder, check=True)


def short_job(folder: Path) -> None:
    """344 rows in about two seconds, three of which fail."""
    (folder / "weights.py").write_text(SHORT)
    rows = (ROOT / "sample_data/penguins_raw.csv").read_text().splitlines()
    numbered = [f"row,{rows[0].lower()}", *(f"{n},{row}" for n, row in enumerate(rows[1:], 1))]
    (folder / "penguins.csv").write_text("\n".join(numbered) + "\n")
    command = ["process", "penguins.csv", "--task", "weights.py:weight", "--jobs", "6", "--retries", "0", "--quiet"]
    subprocess.run([BIN / "batchrun", *command], cwd=folder)
    subprocess.run([BIN / "batchrun", "report", "penguins.csv"], cwd=folder, check=True)


def photograph(browser: Browser, page: Path, name: str, width: int, height: int, scheme: str) -> None:
    """The page's upper part, in few colours: the files are in the repository for ever."""
    view = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    view.goto(page.as_uri())
    picture = Image.open(io.BytesIO(view.screenshot())).convert("RGB")
    picture.quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        HERE / f"{name}.png", optimize=True
    )
    view.close()


DRAWN = {"recording": recording, "live": live, "report": report}

if __name__ == "__main__":
    for name in sys.argv[1:] or DRAWN:
        with TemporaryDirectory() as folder:
            DRAWN[name](Path(folder))
