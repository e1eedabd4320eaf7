"""Tokens and what they cost. Pure."""

from dataclasses import dataclass
from typing import NamedTuple


class Tokens(NamedTuple):
    """Tokens of attempts. `cached` is a part of `prompt`, `reasoning` of `completion`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0

    def plus(self, more: tuple[int, int, int, int]) -> "Tokens":
        """Both together."""
        return Tokens(*(a + b for a, b in zip(self, more, strict=True)))


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens of prompts, and of completions (cached and reasoning ones are among them)."""

    prompt: float
    completion: float

    def cost(self, tokens: tuple[int, int, int, int]) -> float:
        """What these tokens cost."""
        return (tokens[0] * self.prompt + tokens[1] * self.completion) / 1e6
