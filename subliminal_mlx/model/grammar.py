"""Which tokens may come next, as a small table: decoding that is held to a channel's grammar.

    table = compile_grammar(base, start, advance, accepts, alphabet)

A channel describes its texts one character at a time (`advance(state, character)`); this module finds
the tokens of a tokenizer that fit, whole, and tabulates them. No MLX, no traits, no sampling here.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

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
    begun, later = (_tree(texts) for texts in ([p[1] for p in pieces], [p[2] for p in pieces]))
    states: list[Hashable] = ["first"]
    real: dict[Hashable, Hashable] = {"first": start}
    places: dict[Hashable, int] = {}
    rows: list[dict[int, int]] = []
    for label in states:
        row: dict[int, int] = {}
        reached = _reached(begun if label == "first" else later, real[label], advance)
        for piece, state in sorted(reached, key=itemgetter(0)):
            if state not in real:
                real[state] = state
                places[state] = len(states)
                states.append(state)
            row[piece] = places[state]
        rows.append(row)
    columns = sorted(set().union(*rows))
    table = np.full((len(rows), len(columns) + 1), -1, dtype=np.int32)
    for place, (label, row) in enumerate(zip(states, rows, strict=True)):
        table[place, np.searchsorted(columns, list(row))] = list(row.values())
        table[place, -1] = 0 if label != "first" and accepts(real[label]) else -1
    table, longest = _prune(table)
    if longest < 1:
        raise InputError(f"base {base.name!r}: its tokenizer cannot write a text of that form")
    tokens = np.array([pieces[column][0] for column in columns] + [base.eos], dtype=np.int32)
    used = (table >= 0).any(axis=0)
    return Grammar(tokens[used], table[:, used], longest)


@dataclass
class _Tree:
    """Texts by their characters: which of them end here, and what may come next."""

    ends: list[int]
    next: dict[str, "_Tree"]


def _tree(texts: Sequence[str]) -> _Tree:
    root = _Tree([], {})
    for number, text in enumerate(texts):
        node = root
        for character in text:
            node = node.next.setdefault(character, _Tree([], {}))
        node.ends.append(number)
    return root


def _reached(
    tree: _Tree, state: Hashable, advance: Callable[[Hashable, str], Hashable | None]
) -> list[tuple[int, Hashable]]:
    """Texts that may come in a state, by number, and the states after them; what they share is walked once."""
    found, open_ = [], [(tree, state)]
    while open_:
        node, here = open_.pop()
        found += [(number, here) for number in node.ends]
        for character, below in node.next.items():
            after = advance(here, character)
            if after is not None:
                open_.append((below, after))
    return found


def _prune(table: np.ndarray) -> tuple[np.ndarray, int]:
    """Without moves into dead ends, and the most tokens a completion can take."""
    states, columns = np.nonzero(table[:, :-1] >= 0)
    targets = table[states, columns]
    longest = np.full(len(table), -1)
    # Texts only grow, so the automaton has no cycles and this settles within len(table) rounds.
    for _ in range(len(table) + 1):
        settled = np.where(table[:, -1] >= 0, 1, -1)
        alive = longest[targets] >= 0
        np.maximum.at(settled, states[alive], longest[targets[alive]] + 1)
        if (settled == longest).all():
            break
        longest = settled
    dead = longest[targets] < 0
    table = table.copy()
    table[states[dead], columns[dead]] = -1
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
