"""Generators of random numbers in a process that is forked: its children must not all draw the same."""

import gc
import random
import sys
from functools import partial
from typing import Any, Self


class RandomNumbers:
    """A context in which libraries, and perhaps the task, are imported. It notes who would draw the same in each child.

    `obstacle` and `reseed` are for afterwards.
    """

    def __enter__(self) -> Self:
        self._unseeded: dict[int, random.Random] = {}
        self._seeded: set[str] = set()
        self._undo: list[tuple[Any, str, Any]] = []
        seed = random.Random.seed

        def noted(own: random.Random, a: Any = None, *rest: Any) -> None:
            if a is None:
                self._unseeded[id(own)] = own
            else:
                self._unseeded.pop(id(own), None)
            seed(own, a, *rest)

        self._put(random.Random, "seed", noted)
        self._watch("random", "seed")
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, before in reversed(self._undo):
            setattr(owner, name, before)

    def watch_libraries(self) -> None:
        """From now on the user's code runs, which may want numbers that are always the same."""
        self._watch("numpy.random", "seed")
        self._watch("torch", "manual_seed")

    def obstacle(self) -> str | None:
        """Whose numbers cannot be told from those that are meant to be the same in each worker."""
        if self._seeded:
            return f"{min(self._seeded)}() has been called"
        if numpy := sys.modules.get("numpy.random"):
            known = numpy.mtrand._rand._bit_generator
            if getattr(known, "seed_seq", known) is None:
                return "numpy.random.seed() has been called"
            if any(issubclass(type(made), numpy.BitGenerator) and made is not known for made in gc.get_objects()):
                return "a numpy random generator has been created"
        return None

    def reseed(self) -> None:
        """In a child: draw other numbers than its siblings. (The functions of `random` see to that themselves.)"""
        for own in self._unseeded.values():
            own.seed()
        if numpy := sys.modules.get("numpy.random"):
            numpy.seed()
        if torch := sys.modules.get("torch"):
            torch.default_generator.seed()

    def _watch(self, library: str, name: str) -> None:
        if owner := sys.modules.get(library):
            self._put(owner, name, partial(self._note_seed, f"{library}.{name}", getattr(owner, name)))

    def _put(self, owner: Any, name: str, instead: Any) -> None:
        self._undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, instead)

    def _note_seed(self, what: str, seed: Any, *given: Any, **named: Any) -> Any:
        self._seeded.add(what)
        return seed(*given, **named)
