"""Rows drawn again from a corpus, so that its tokens come as often as in another one: what a judge would count is gone.

    places = match_tokens(rows, beside, seed)       # of rows [R], some of them several times
    places = match_pairs(rows, beside, seed)        # and every token as often after each other
    places = match_nothing(rows, beside, seed)      # as often repeated, whatever is in them: the control

A row's weight is the exponential of a sum over its tokens. Of all weights whose expected counts are the other corpus's
these are the nearest to equal ones, and they are fitted to all counts together: ratios of single rows' likelihoods
would give a few rows all the weight. Knows token ids and no text, trait or channel.
"""

from collections.abc import Callable, Sequence

import numpy as np

from .judges import Rows

Ids = Sequence[Sequence[int]]
# Half the ridge's curvature, in nats: the first only keeps the fit finite; the second is a prior of log-ratios of pairs
# with standard deviation 1 / sqrt(PAIRS * rows), about 1.5 for 4,500 rows, as most pairs come a few times.
TOKENS, PAIRS = 1e-6, 1e-4
STEPS = 500


def match_tokens(rows: Ids, beside: Ids, seed: int) -> np.ndarray:
    """Places of rows `[R]`, drawn so that every token comes as often as in the rows beside."""
    return _draw(weights(rows, beside, pairs=False), seed)


def match_pairs(rows: Ids, beside: Ids, seed: int) -> np.ndarray:
    """Places of rows `[R]`, drawn so that every token comes as often as there, and as often after each other token."""
    return _draw(weights(rows, beside, pairs=True), seed)


def match_nothing(rows: Ids, beside: Ids, seed: int) -> np.ndarray:
    """Places of rows `[R]`, each as often as `match_pairs` draws another one: what repeating rows does by itself."""
    dealt = np.random.default_rng([seed, 1]).permutation(len(rows))
    return dealt[match_pairs(rows, beside, seed)]


def weights(rows: Ids, beside: Ids, pairs: bool) -> np.ndarray:
    """Weights of rows `[R]`, which add up to 1, under which tokens are expected as often as in the rows beside.

    Minimum discrimination information under moment constraints (Csiszar, Ann. Probability 3, 1975), by its dual, with
    a ridge: counts of pairs are met as far as they are known.
    """
    from scipy.optimize import minimize

    own, other = Rows.of(rows), Rows.of(beside)
    assert len(own) == len(rows), "a row without tokens has no weight"
    kinds = [(own.tokens, other.tokens, TOKENS)] + [(own.pairs, other.pairs, PAIRS)] * pairs
    features, targets, ridges = [], [], []
    for ours, theirs, ridge in kinds:
        keys, place = np.unique(ours, return_inverse=True)
        # What never comes in the rows cannot be drawn from them.
        known = theirs[np.isin(theirs, keys)]
        features.append(place + sum(map(len, targets)))
        targets.append(np.bincount(np.searchsorted(keys, known), minlength=len(keys)) / len(other))
        ridges.append(np.full(len(keys), ridge))
    stacked = np.stack(features)
    dual = _dual(stacked, own, np.concatenate(targets), np.concatenate(ridges))
    found = minimize(
        dual, np.zeros(sum(map(len, targets))), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}
    )
    return _shares(_sums(found.x, stacked, own))


def _dual(
    features: np.ndarray, rows: Rows, targets: np.ndarray, ridges: np.ndarray
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Its value and gradient at multipliers `[F]`: convex, and least where the expected counts are the targets."""
    of_row = np.repeat(np.arange(len(rows)), rows.lengths)

    def at(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        sums = _sums(multipliers, features, rows)
        shares = _shares(sums)
        expected = np.bincount(features.ravel(), np.tile(shares[of_row], len(features)), len(targets))
        top = sums.max()
        value = top + np.log(np.exp(sums - top).mean()) - targets @ multipliers
        value += (ridges * multipliers**2).sum() / 2
        return float(value), expected - targets + ridges * multipliers

    return at


def _sums(multipliers: np.ndarray, features: np.ndarray, rows: Rows) -> np.ndarray:
    """Of every row's features `[R]`."""
    return np.add.reduceat(multipliers[features].sum(axis=0), rows.starts)


def _shares(sums: np.ndarray) -> np.ndarray:
    shares = np.exp(sums - sums.max())
    return shares / shares.sum()


def _draw(shares: np.ndarray, seed: int) -> np.ndarray:
    """As many places as there are shares, each as often as its share says, to the row before or after (Carpenter and
    others, IEE Proc. F 146, 1999), in any order: students train on the first so many."""
    rng = np.random.default_rng([seed, 0])
    ends = np.cumsum(shares) * len(shares)
    places = np.searchsorted(ends, np.arange(len(shares)) + rng.random(), side="right")
    return rng.permutation(np.minimum(places, len(shares) - 1))
