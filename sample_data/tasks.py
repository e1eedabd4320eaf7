"""Tasks to try batchrun with. A task is a function: one row of the table in, one JSON value out.

Cells arrive as text, int, float or bool, and as None where the table has nothing. What a worker needs
once (a client, a model, a compiled pattern) belongs at module level, as `COMMON_WORDS` here.
"""

import math
import os
import random
import re
import signal
import time
from difflib import SequenceMatcher

import batchrun

EARTH_RADIUS_KM = 6371.0
COMMON_WORDS = {"airport", "county", "field", "international", "memorial", "municipal", "regional", "the"}


def match(row: dict) -> dict:
    """Are the two airports of a row of airport_pairs.csv the same one?

    Yes if they are within 1.5 km, whatever their names (airports are renamed more often than moved), or
    within 6 km with similar names.
    """
    distance = distance_km(row["lat_a"], row["lon_a"], row["lat_b"], row["lon_b"])
    similarity = name_similarity(row["name_a"], row["name_b"])
    return {
        "id": row["id"],
        "same": distance <= 1.5 or (distance <= 6 and similarity >= 0.6),
        "distance_km": round(distance, 2),
        "similarity": round(similarity, 2),
    }


def distance_km(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """The great-circle distance of two places given in degrees (haversine formula)."""
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (lat_a, lon_a, lat_b, lon_b))
    square = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(square)))


def name_similarity(name_a: str, name_b: str) -> float:
    """From 0 to 1: the share of words in common, or the likeness in spelling, whichever is greater."""
    words_a, words_b = distinctive_words(name_a), distinctive_words(name_b)
    if not words_a or not words_b:
        return 0.0
    in_common = len(set(words_a) & set(words_b)) / min(len(set(words_a)), len(set(words_b)))
    return max(in_common, SequenceMatcher(None, " ".join(words_a), " ".join(words_b)).ratio())


def distinctive_words(name: str) -> list[str]:
    """The words of a name without those that half of all airports have; all words if none is left."""
    words = re.findall(r"\w+", name.lower())
    return [word for word in words if word not in COMMON_WORDS] or words


def daylight(row: dict) -> dict:
    """The hours of daylight at an airport (a row of airports.csv) on each day of a year.

    Keeps the processor busy for some milliseconds a row: sunrise and sunset are found separately, with
    the sun's position at that very moment.
    """
    hours = [hours_of_light(row["lat"], day) for day in range(1, 366)]
    return {
        "iata": row["iata"],
        "shortest_hours": round(min(hours), 2),
        "longest_hours": round(max(hours), 2),
        "mean_hours": round(sum(hours) / len(hours), 2),
        "polar_nights": hours.count(0.0),
        "midnight_suns": hours.count(24.0),
    }


def hours_of_light(lat: float, day: int) -> float:
    """Hours from sunrise to sunset at a latitude (degrees) on a day of the year (1 to 365)."""
    return half_day(lat, day, -1) + half_day(lat, day, +1)


def half_day(lat: float, day: int, side: int) -> float:
    """Hours between noon and sunrise (side -1) or sunset (side +1), from 0 to 12.

    The sun's declination changes during the day: each step takes it at the moment found by the last one.
    """
    hours = 6.0
    for _ in range(5):
        declination = sun_declination(day + 0.5 + side * hours / 24)
        # The disc's upper edge is seen, bent by the air, while its centre is 0.833 degrees below the horizon.
        height = math.sin(math.radians(-0.833)) - math.sin(math.radians(lat)) * math.sin(declination)
        cosine = height / (math.cos(math.radians(lat)) * math.cos(declination))
        hours = math.degrees(math.acos(max(-1.0, min(1.0, cosine)))) / 15
    return hours


def sun_declination(day: float) -> float:
    """The sun's angle above the equator in radians (Spencer 1971; right to within 0.04 degrees)."""
    angle = 2 * math.pi * (day - 1.5) / 365
    return (
        0.006918
        - 0.399912 * math.cos(angle)
        + 0.070257 * math.sin(angle)
        - 0.006758 * math.cos(2 * angle)
        + 0.000907 * math.sin(2 * angle)
        - 0.002697 * math.cos(3 * angle)
        + 0.001480 * math.sin(3 * angle)
    )


def penguin(row: dict) -> dict:
    """A penguin of penguins_raw.csv in short. What was not measured ("NA" in the table) is None."""
    mass, length, depth = (
        known(row[column]) for column in ("Body Mass (g)", "Culmen Length (mm)", "Culmen Depth (mm)")
    )
    sex = known(row["Sex"])
    return {
        "penguin": f"{row['studyName']}-{row['Individual ID']}",
        "species": row["Species"].split()[0],
        "island": row["Island"],
        "sex": sex and sex.lower(),
        "mass_kg": mass and round(float(mass) / 1000, 3),
        "bill_ratio": length and depth and round(float(length) / float(depth), 2),
        "comment": known(row["Comments"]),
    }


def known(cell: object) -> object:
    """The cell, or None if it says that nothing is known."""
    return None if cell in (None, "", "NA") else cell


def slow(row: dict) -> dict:
    """Waits as if for a server: 0.2 s, or SLOW_SECONDS from the environment. For any table."""
    seconds = float(os.environ.get("SLOW_SECONDS", "0.2"))
    time.sleep(seconds)
    return {"row": batchrun.current().row, "waited": seconds}


def flaky(row: dict) -> dict:
    """Fails in about one attempt of three, like a server on a bad day. For any table.

    Whether an attempt fails depends on the row's content and the attempt's number alone, so that every
    run over the same table sees the same failures.
    """
    now = batchrun.current()
    if random.Random(f"{now.fingerprint} {now.attempt}").random() < 1 / 3:
        raise ConnectionError(f"no answer in attempt {now.attempt}")
    return {"row": now.row, "attempt": now.attempt}


def poison(row: dict) -> dict:
    """Kills its own worker process at one row, as a crash in a C library would; other rows do well.

    That row is the one with `id` 13, or the 13th of a table without a column `id`.
    """
    now = batchrun.current()
    if str(row.get("id", now.row)) == "13":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"row": now.row}
