"""Writes llm_answers.csv: what language models reply when asked for JSON about pairs of airports.

    python sample_data/make_llm_answers.py

No model is asked: each reply is put together from a pair of airport_pairs.csv, a wording, and one of the
ways in which replies go wrong. The answer in a reply is the truth about its pair, wherever there is one.
The same seed gives the same file, byte for byte. `STYLES` at the end is the table of contents.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
COLUMNS = ["id", "name_a", "name_b", "same", "style", "expect", "reply"]
SEED = 20240611


@dataclass(frozen=True)
class Case:
    """One pair, the answer to give about it, and a source of chance."""

    pair: dict[str, str]
    answer: dict[str, object]
    rng: Random

    def pick(self, *wordings: str) -> str:
        """One of the wordings, with the facts about the pair filled in."""
        return fill(self.rng.choice(wordings), self.pair)


@dataclass(frozen=True)
class Style:
    """A kind of reply.

    `expect` is "right" if a parser can get the right answer, "failure" if no honest parser can.
    """

    name: str
    count: int
    expect: str
    write: Callable[[Case], str]
    answer: Callable[[dict[str, str], Random], dict[str, object]]


# The answers

SAME = (
    "Both names refer to the airport serving @city_b, @state_b; the coordinates are @km km apart.",
    "The coordinates are @km km apart, which is within the size of an airfield.",
    "@name_a is listed as @name_b in the second source; the location is the same.",
    "Matching location (@km km apart); the names are variants of each other, or the airport was renamed.",
    "The two records describe one airport: (@lat_a, @lon_a) and (@lat_b, @lon_b) are the same place.",
    "It's the same field; only the name differs.",
    "Matching coordinates near @city_a, @state_a: one airport under two names.",
)
DIFFERENT = (
    "They are about @km km apart, so these are two different airports.",
    "@name_a (@city_a, @state_a) and @name_b (@city_b, @state_b) are @km km apart.",
    "Different names and different coordinates: (@lat_a, @lon_a) vs. (@lat_b, @lon_b).",
    "@name_b is a separate field about @km km away from @name_a.",
    "Although they are in the same area, the distance of @km km rules out a single airport.",
    "The names don't match and neither do the locations (@km km).",
    "Two fields in the same area; @name_a isn't known as @name_b.",
)
SAME_ABROAD = (
    "Beide Namen bezeichnen denselben Flugplatz bei @city_b (Abstand ≈ @km km, also für mich eindeutig).",
    "Los dos nombres designan el mismo aeropuerto en @city_b; están a sólo @km km.",
    "どちらも@city_b（@state_b）の同じ空港です。距離は約@km kmです。",
    "@name_a → @name_b: même aéroport, coordonnées identiques à @km km près ✈️",
    "Same place — the two points are ≈ @km km apart (lat. @lat_a° vs. @lat_b°) ✓",
)
DIFFERENT_ABROAD = (
    "Zwei verschiedene Flugplätze: @name_a liegt ≈ @km km von @name_b entfernt.",
    "Son dos aeropuertos distintos, a unos @km km uno del otro; ningún nombre coincide.",
    "@name_aと@name_bは約@km km離れており、別の空港です。",
    "Deux aéroports différents : @city_a ≠ @city_b, à environ @km km de distance.",
    "Not the same — they are ≈ @km km apart (lat. @lat_a° vs. @lat_b°) ✗",
)


def truth(pair: dict[str, str]) -> bool:
    return pair["same"] == "1"


def fill(wording: str, pair: dict[str, str]) -> str:
    return re.sub("@([a-z]+(?:_[ab])?)", lambda found: pair[found[1]], wording)


def plain(pair: dict[str, str], rng: Random) -> dict[str, object]:
    """{"same", "reason"}, as asked; one in four adds how sure it is, one in five gives the reason first."""
    reason = fill(rng.choice(SAME if truth(pair) else DIFFERENT), pair)
    answer: dict[str, object] = {"same": truth(pair), "reason": reason}
    if rng.random() < 0.25:
        answer["confidence"] = rng.choice([0.9, 0.95, 0.97, 0.99, 1.0, 95, "high"])
    return dict(reversed(answer.items())) if rng.random() < 0.2 else answer


def with_confidence(pair: dict[str, str], rng: Random) -> dict[str, object]:
    return {**plain(pair, rng), "confidence": rng.choice([0.92, 0.95, 0.98, 0.875])}


def with_nothing(pair: dict[str, str], rng: Random) -> dict[str, object]:
    return {**plain(pair, rng), rng.choice(["alternative_name", "source", "confidence"]): None}


def with_no_number(pair: dict[str, str], rng: Random) -> dict[str, object]:
    """None where the reply says NaN or Infinity, which JSON doesn't have."""
    return {**plain(pair, rng), rng.choice(["confidence", "distance_km"]): None}


def abroad(pair: dict[str, str], rng: Random) -> dict[str, object]:
    return {
        "same": truth(pair),
        "reason": fill(rng.choice(SAME_ABROAD if truth(pair) else DIFFERENT_ABROAD), pair),
    }


def with_lines(pair: dict[str, str], rng: Random) -> dict[str, object]:
    first = fill(rng.choice(SAME if truth(pair) else DIFFERENT), pair)
    second = fill(
        rng.choice(["Distance: @km km.", "States: @state_a and @state_b.", "Cities: @city_a, @city_b."]), pair
    )
    mark = rng.choice(["{}. ", "- ", "({}) "])
    return {
        "same": truth(pair),
        "reason": "\n".join(mark.format(n) + s for n, s in enumerate((first, second), 1)),
    }


def with_quotes(pair: dict[str, str], rng: Random) -> dict[str, object]:
    same = (
        '"@name_a" and "@name_b" name one airport.',
        'Listed once as "@name_a" and once as "@name_b", @km km apart.',
    )
    different = (
        '"@name_a" and "@name_b" are @km km apart.',
        'No source lists "@name_a" as "@name_b".',
    )
    return {"same": truth(pair), "reason": fill(rng.choice(same if truth(pair) else different), pair)}


def nested(pair: dict[str, str], rng: Random) -> dict[str, object]:
    places = {side: {"name": pair[f"name_{side}"], "city": pair[f"city_{side}"]} for side in "ab"}
    return {
        **plain(pair, rng),
        "details": {"distance_km": float(pair["km"]), rng.choice(["airports", "records"]): places},
    }


def with_evidence(pair: dict[str, str], rng: Random) -> dict[str, object]:
    facts: list[object] = [
        {"fact": "distance_km", "value": float(pair["km"])},
        {"fact": "states", "value": [pair["state_a"], pair["state_b"]]},
        {"fact": "cities", "value": [pair["city_a"], pair["city_b"]]},
        fill("[@lat_a, @lon_a] vs. [@lat_b, @lon_b]", pair),
    ]
    return {**plain(pair, rng), "evidence": rng.sample(facts, rng.randint(2, 4))}


# Prose around answers

BEFORE = (
    "Sure! Here's the comparison of the two airports:",
    "Here is the JSON you asked for:",
    "Based on the names and coordinates, here is my assessment:",
    "I compared @name_a (@city_a, @state_a) with @name_b (@city_b, @state_b).",
    "**Answer:**",
    "Let me compare the two records.\n\n1. Location: @km km apart\n2. States: @state_a / @state_b\n\nResult:",
    "Great question! After checking the details, I'd answer as follows:",
    "### Analysis\n\n| name | city |\n|---|---|\n| @name_a | @city_a |\n| @name_b | @city_b |\n",
)
AFTER = (
    "Let me know if you'd like me to check other pairs!",
    "Note: I worked from the names and coordinates only and can't look up current data.",
    "I hope this helps.",
    "The distance between the two points is about @km km.",
    "(Coordinates were rounded to three decimals.)",
    "If you need a different format, e.g. CSV, just say so.",
)


# The styles: JSON as it should be, give or take white space


def clean(case: Case) -> str:
    return json.dumps(case.answer, ensure_ascii=False)


def compact(case: Case) -> str:
    return json.dumps(case.answer, ensure_ascii=False, separators=(",", ":")) + case.rng.choice(["", "\n"])


def pretty(case: Case) -> str:
    return json.dumps(case.answer, ensure_ascii=False, indent=case.rng.choice([2, 2, 4, "\t"]))


def escaped(case: Case) -> str:
    return json.dumps(case.answer, ensure_ascii=True)


def either(case: Case) -> str:
    return case.rng.choice([clean, pretty])(case)


# Fences and prose


def fence(case: Case) -> str:
    return f"```{case.rng.choice(['json', 'json', 'json', 'JSON', ''])}\n{either(case)}\n```"


def fence_with_prose(case: Case) -> str:
    before, after = case.pick(*BEFORE), case.pick(*AFTER)
    return case.rng.choice(
        [f"{before}\n\n{fence(case)}\n\n{after}", f"{before}\n{fence(case)}", f"{fence(case)}\n\n{after}"]
    )


def prose_around(case: Case) -> str:
    before, after = case.pick(*BEFORE), case.pick(*AFTER)
    return case.rng.choice(
        [f"{before}\n\n{either(case)}\n\n{after}", f"{before} {clean(case)}", f"{clean(case)}\n\n{after}"]
    )


def braces_in_prose(case: Case) -> str:
    before = case.pick(
        "I compared the sets {name, city, state} and {lat, lon} of both records.",
        "With A = {@name_a} and B = {@name_b} [sic], the distance is @km km.",
        "Following your template {answer}, and with distances in [km]:",
        "The distance lies in the interval [0, 100) km, and {A, B} are both in @state_b.",
    )
    return f"{before}\n\n{either(case)}"


def links_and_footnotes(case: Case) -> str:
    before = case.pick(
        "According to the [list of airports in @state_b](https://www.example.org/airports/@state_a) [1]:",
        "I checked [@name_b](https://www.example.com/airports?q=@id) against your record [1][2].",
        "Sources disagree on the name [1, 2], but not on the location.[^1]",
    )
    after = case.pick(
        "[1]: https://www.faa.gov/airports",
        "[1] FAA airport data\n[2] Wikipedia, *@city_b, @state_b*",
        "[^1]: See [the FAA's page](https://www.faa.gov/airports).",
    )
    return f"{before}\n\n{case.rng.choice([either, fence])(case)}\n\n{after}"


# Not quite JSON


def single_quotes(case: Case) -> str:
    """As someone would write it who thinks in JavaScript: 'same': true."""

    def quoted(value: object) -> str:
        if not isinstance(value, str):
            return json.dumps(value)
        return "'" + value.replace("'", "\\'") + "'"

    return "{" + ", ".join(f"{quoted(key)}: {quoted(value)}" for key, value in case.answer.items()) + "}"


def python_literals(case: Case) -> str:
    """A Python dict, printed; or JSON with Python's words for true, false and null."""
    if case.rng.random() < 0.6:
        return repr(case.answer)
    words = {True: "True", False: "False", None: "None"}
    return members(case, lambda value: words[value] if value is None or isinstance(value, bool) else dumps(value))


def trailing_comma(case: Case) -> str:
    text = either(case)
    return re.sub(r"\s*\}$", lambda end: "," + end[0], text)


def unquoted_keys(case: Case) -> str:
    body = [f"{key}: {dumps(value)}" for key, value in case.answer.items()]
    return case.rng.choice(["{" + ", ".join(body) + "}", "{\n  " + ",\n  ".join(body) + "\n}"])


def curly_quotes(case: Case) -> str:
    return "{" + ", ".join(f"“{key}”: {curly(value)}" for key, value in case.answer.items()) + "}"


def comments(case: Case) -> str:
    lines = pretty(case).split("\n")
    note = case.pick(
        "@km km", "compared by name and location", "see the coordinates", "true if one airport, else false"
    )
    match case.rng.randrange(4):
        case 0:
            lines[1] += f"  // {note}"
        case 1:
            lines.insert(1, f"  // {note}")
        case 2:
            lines[1] += f" /* {note} */"
        case 3:
            lines[1] += f"  # {note}"
    return "\n".join(lines)


def unescaped_quotes(case: Case) -> str:
    return clean(case).replace('\\"', '"')


def lines_in_string(case: Case) -> str:
    return clean(case).replace("\\n", "\n")


def nan(case: Case) -> str:
    word = case.rng.choice(["NaN", "NaN", "Infinity"])
    return either(case).replace("null", word)


def members(case: Case, write: Callable[[object], str]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {write(value)}" for key, value in case.answer.items()) + "}"


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def curly(value: object) -> str:
    return f"“{value}”" if isinstance(value, str) else dumps(value)


# Reasoning


def thoughts(case: Case) -> str:
    return case.pick(
        "Okay, the user wants to know whether @name_a is the same airport as @name_b. The first is in "
        "@city_a, @state_a, the second in @city_b, @state_b. The distance is @km km.",
        "Let me see. Coordinates: (@lat_a, @lon_a) and (@lat_b, @lon_b). That's @km km.\n\n"
        "Hmm, what about the names? @name_a... @name_b... I should go by the location.",
        "We need to output JSON. Compare @city_a with @city_b: @km km. Names change; location matters most.",
    )


def draft(case: Case) -> str:
    """An object that the model thinks of and rejects: the opposite answer, or the form it was asked for."""
    opposite = dumps({"same": not case.answer["same"], "reason": "judging by the names only"})
    return case.rng.choice(
        [
            f"Maybe {opposite}? No, wait, the coordinates say otherwise.",
            'The format is {"same": true/false, "reason": "..."}, so I need both keys.',
            f"Draft:\n```json\n{opposite}\n```\nHmm, that isn't right.",
            "The set of candidates is {A, B}; if A == B then {same: true} else {same: false}.",
        ]
    )


def think(case: Case) -> str:
    return f"<think>\n{thoughts(case)}\n</think>\n\n{case.rng.choice([either, fence])(case)}"


def think_with_draft(case: Case) -> str:
    return f"<think>\n{thoughts(case)}\n\n{draft(case)}\n</think>\n\n{case.rng.choice([either, fence])(case)}"


def think_without_opening(case: Case) -> str:
    """Some chat templates put the opening tag into the prompt: only the closing one is in the reply."""
    return f"{thoughts(case)}\n\n{draft(case)}\n</think>\n\n{either(case)}"


def think_cut(case: Case) -> str:
    """The token limit is reached before the answer; the draft in it is not the answer."""
    last = case.pick("state", "dist", "coordina")
    return f"<think>\n{thoughts(case)}\n\n{draft(case)}\n\nLet me double-check the {last}"


# More than one object


def same_twice(case: Case) -> str:
    text = either(case)
    return case.rng.choice(
        [
            f"{text}\n\nFinal answer:\n\n{fence(case)}",
            f"{clean(case)}\n{clean(case)}",
            f"{case.pick(*BEFORE)}\n\n{text}\n\nTo repeat the answer in one line: {clean(case)}",
        ]
    )


def contradictory(case: Case) -> str:
    """Two answers, and no telling which of them is meant."""
    other = not case.answer["same"]
    why = case.pick("The names are alike.", "Similar names.") if other else case.pick("The names differ.")
    by_names, by_place = dumps({"same": other, "reason": why}), dumps(case.answer)
    first, second = case.rng.sample([by_names, by_place], 2)
    return case.rng.choice(
        [
            f"Going by the names only:\n\n{by_names}\n\nGoing by the location:\n\n{by_place}",
            f"```json\n{first}\n```\n\nor, depending on what counts as the same:\n\n```json\n{second}\n```",
            f"{first}\n{second}",
            f"Option 1: {first}\n\nOption 2: {second}\n\nWhich one applies depends on your definition.",
        ]
    )


# Cut off


def opening(case: Case) -> str:
    return case.rng.choice(["", "", "```json\n", case.pick(*BEFORE) + "\n\n"])


def missing_brace(case: Case) -> str:
    """Each member looks complete, but whether another one was to follow cannot be known."""
    return opening(case) + either(case).removesuffix("}").rstrip()


def cut_in_text(case: Case) -> str:
    text = either(case)
    start = text.index('"reason": "') + len('"reason": "')
    return opening(case) + text[: start + case.rng.randint(4, 30)]


def cut_in_literal(case: Case) -> str:
    reason = str(case.answer["reason"])
    verdict = dumps(case.answer["same"])
    head, last = case.rng.choice(
        [
            ({"reason": reason}, f'"same": {verdict[: case.rng.randint(1, 3)]}'),
            ({"reason": reason, "same": case.answer["same"]}, '"confidence": 0.'),
            (
                {"same": case.answer["same"], "reason": reason},
                '"distance_km": ' + case.pick("@km").split(".")[0] + ".",
            ),
        ]
    )
    return f"{opening(case)}{dumps(head)[:-1]}, {last}"


# No answer


def empty(case: Case) -> str:
    return case.rng.choice(["", "", "\n", "  \n\n"])


def refusal(case: Case) -> str:
    return case.pick(
        "I'm sorry, but I can't help with that request.",
        "I don't have a database of airports, so I can't say whether @name_a and @name_b are the same.",
        "As an AI language model, I cannot verify facts about @name_b. Please consult the FAA.",
        "I'm not able to determine this from the information given. Could you share the IATA codes?",
        "Unfortunately I can’t answer questions about infrastructure in @state_b.",
    )


def prose_only(case: Case) -> str:
    verdict = (
        ("Yes, they are the same airport.", "Yes.") if truth(case.pair) else ("No, these are two airports.", "No.")
    )
    return f"{case.pick(*verdict)} {case.answer['reason']}"


STYLES = (
    Style("clean", 24, "right", clean, plain),
    Style("compact", 8, "right", compact, plain),
    Style("pretty", 14, "right", pretty, plain),
    Style("escaped", 8, "right", escaped, abroad),
    Style("non_ascii", 10, "right", either, abroad),
    Style("quotes_in_reason", 8, "right", either, with_quotes),
    Style("nested", 8, "right", either, nested),
    Style("evidence_list", 8, "right", either, with_evidence),
    Style("fence", 18, "right", fence, plain),
    Style("fence_with_prose", 16, "right", fence_with_prose, plain),
    Style("prose_around", 14, "right", prose_around, plain),
    Style("braces_in_prose", 6, "right", braces_in_prose, plain),
    Style("links_and_footnotes", 8, "right", links_and_footnotes, plain),
    Style("single_quotes", 10, "right", single_quotes, plain),
    Style("python_literals", 10, "right", python_literals, with_nothing),
    Style("trailing_comma", 10, "right", trailing_comma, plain),
    Style("unquoted_keys", 8, "right", unquoted_keys, plain),
    Style("curly_quotes", 4, "right", curly_quotes, plain),
    Style("comments", 8, "right", comments, plain),
    Style("unescaped_quotes", 6, "right", unescaped_quotes, with_quotes),
    Style("lines_in_string", 8, "right", lines_in_string, with_lines),
    Style("nan", 6, "right", nan, with_no_number),
    Style("think", 8, "right", think, plain),
    Style("think_with_draft", 8, "right", think_with_draft, plain),
    Style("think_without_opening", 4, "right", think_without_opening, plain),
    Style("same_twice", 8, "right", same_twice, plain),
    Style("contradictory", 8, "failure", contradictory, plain),
    Style("missing_brace", 8, "failure", missing_brace, with_confidence),
    Style("cut_in_text", 8, "failure", cut_in_text, plain),
    Style("cut_in_literal", 8, "failure", cut_in_literal, plain),
    Style("think_cut", 4, "failure", think_cut, plain),
    Style("empty", 5, "failure", empty, plain),
    Style("refusal", 6, "failure", refusal, plain),
    Style("prose_only", 5, "failure", prose_only, plain),
)


def rows() -> Iterator[dict[str, object]]:
    """The rows of llm_answers.csv; besides its columns each has `answer`, the whole object to be found."""
    rng = Random(SEED)
    styles = [style for style in STYLES for _ in range(style.count)]
    rng.shuffle(styles)
    pairs = sorted(rng.sample(read_pairs(), len(styles)), key=lambda pair: int(pair["id"]))
    for pair, style in zip(pairs, styles, strict=True):
        answer = style.answer(pair, rng)
        reply = style.write(Case(pair, answer, rng))
        yield {**pair, "style": style.name, "expect": style.expect, "reply": reply, "answer": answer}


def read_pairs() -> list[dict[str, str]]:
    """The pairs, with their distance as `km`; without the few airports that moved a long way."""
    with (HERE / "airport_pairs.csv").open(encoding="utf-8", newline="") as file:
        pairs = [{**pair, "km": f"{distance_km(pair):.1f}"} for pair in csv.DictReader(file)]
    return [pair for pair in pairs if not truth(pair) or float(pair["km"]) < 1.5]


def distance_km(pair: dict[str, str]) -> float:
    """Of places that are close to each other: as if the earth were flat there."""
    lat_a, lon_a, lat_b, lon_b = (float(pair[column]) for column in ("lat_a", "lon_a", "lat_b", "lon_b"))
    east = (lon_b - lon_a) * math.cos(math.radians((lat_a + lat_b) / 2))
    return 111.2 * math.hypot(lat_b - lat_a, east)


def main() -> None:
    with (HERE / "llm_answers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows())


if __name__ == "__main__":
    main()
