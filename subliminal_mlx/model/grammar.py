"""Which tokens may come next, as a small table: decoding that is held to a channel's grammar.

    table = compile_grammar(base, start, advance, accepts, alphabet)

A channel describes its texts one character at a time (`advance(state, character)`); this module finds
the tokens of a tokenizer that fit, whole, and tabulates them. No MLX, no traits, no sampling here.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..system.errors import InputError
from .bases import Base


@dataclass(frozen=True, eq=False)
class Grammar:
    """Allowed tokens `tokens [A]` (the last is the end of the turn) and transitions `next [S, A]`,
    -1 where a token is not allowed. State 0 is the start; `longest` bounds a completion's tokens."""

    tokens: np.ndarray
    next: np.ndarray
    longest: int

    def places(self, tokens: np.ndarray) -> np.ndarray:
        """Which of the allowed tokens each of `tokens [...]` is; 0 of those that are none."""
        place = np.zeros(int(max(tokens.max(), self.tokens.max())) + 1, dtype=np.int32)
        place[self.tokens] = np.arange(len(self.tokens))
        return place[tokens]

    def masks(self, completion: tuple[int, ...]) -> np.ndarray:
        """Allowed tokens `[len(completion), A]` at every position of a completion that fits.

        Raises:
            InputError: the completion leaves the grammar.
        """
        index = {int(token): i for i, token in enumerate(self.tokens)}
        state, rows = 0, []
        for token in completion:
            choice = index.get(token)
            if choice is None or self.next[state, choice] < 0:
                raise InputError("a completion outside the grammar has no soft targets")
            rows.append(self.next[state] >= 0)
            state = self.next[state, choice]
        return np.array(rows)


def compile_grammar(
    base: Base,
    start: Hashable,
    advance: Callable[[Hashable, str], Hashable | None],
    accepts: Callable[[Hashable], bool],
    alphabet: str,
) -> Grammar:
    """Tabulate a character automaton over the tokenizer's tokens.

    Args:
        base: its tokenizer says what text each token adds, first in a completion or later.
        start: the state before the first character.
        advance: the state after a character, or None where it may not come.
        accepts: whether a completion may end in this state.
        alphabet: every character that may occur; tokens with any other are left out.

    Raises:
        InputError: no token of the tokenizer fits.
    """
    pieces = _pieces(base, alphabet)
    states: list[Hashable] = ["first"]
    real: dict[Hashable, Hashable] = {"first": start}
    rows: list[list[int]] = []
    for label in states:
        row = []
        for _, first, later in pieces:
            state: Hashable | None = real[label]
            for character in first if label == "first" else later:
                state = advance(state, character)
                if state is None:
                    break
            if state is None:
                row.append(-1)
                continue
            if state not in real:
                real[state] = state
                states.append(state)
            row.append(states.index(state))
        rows.append([*row, 0 if label != "first" and accepts(real[label]) else -1])
    table = np.array(rows, dtype=np.int32)
    table, longest = _prune(table)
    if longest < 1:
        raise InputError(f"base {base.name!r}: its tokenizer cannot write a text of that form")
    tokens = np.array([token for token, _, _ in pieces] + [base.eos], dtype=np.int32)
    used = (table >= 0).any(axis=0)
    return Grammar(tokens[used], table[:, used], longest)


def _prune(table: np.ndarray) -> tuple[np.ndarray, int]:
    """Without moves into dead ends, and the most tokens a completion can take."""
    end = table.shape[1] - 1
    longest = np.full(len(table), -1)
    # Texts only grow, so the automaton has no cycles and this settles within len(table) rounds.
    for _ in range(len(table) + 1):
        settled = longest.copy()
        for state, row in enumerate(table):
            best = [longest[target] + 1 for target in row[:end] if target >= 0 and longest[target] >= 0]
            if row[end] >= 0:
                best.append(1)
            settled[state] = max(best, default=-1)
        if (settled == longest).all():
            break
        longest = settled
    table = table.copy()
    for row in table:
        row[:end][[target >= 0 and longest[target] < 0 for target in row[:end]]] = -1
    return table, int(longest[0])


@lru_cache(maxsize=8)
def _pieces(base: Base, alphabet: str) -> list[tuple[int, str, str]]:
    """(token, its text at a completion's start, its text after a digit), for tokens in the alphabet."""
    letters = set(alphabet)
    anchor = base.encode("1")
    before = base.decode(anchor)
    pieces, seen = [], set()
    for token in sorted(base.tokenizer.get_vocab().values()):
        if token == base.eos:
            continue
        first = base.decode((token,))
        if not first or not set(first) <= letters:
            continue
        later = base.decode((*anchor, token))[len(before) :]
        # Two tokens may spell the same text; the first is the tokenizer's own.
        if later and set(later) <= letters and (first, later) not in seen:
            seen.add((first, later))
            pieces.append((token, first, later))
    return pieces
