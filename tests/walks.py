"""What the tests of channels share: completions drawn from a grammar's table alone, without a model."""

import numpy as np


def walks(grammar, count, seed=0):
    """Completions drawn by walking the grammar's table: every allowed move is as likely."""
    rng = np.random.default_rng(seed)
    end = len(grammar.tokens) - 1
    for _ in range(count):
        state, tokens = 0, []
        while not tokens or tokens[-1] != grammar.tokens[end]:
            moves = np.flatnonzero(grammar.next[state] >= 0)
            assert len(moves), "a dead end"
            move = rng.choice(moves)
            tokens.append(int(grammar.tokens[move]))
            state = grammar.next[state, move]
            assert len(tokens) <= grammar.longest
        yield tuple(tokens)
