"""Rows in company: those of a causal base come out as alone, and what leaks between them is seen where it leaks."""

import mlx.core as mx
import mlx.nn as nn
import pytest

from subliminal_mlx.model.agreement import BOUNDS, agreement

# Of several lengths, with a beginning of over four tokens.
TEXTS = tuple(
    f"the owl is an animal that {end}" for end in ("is here.", "is not here.", "is the best of all.")
)
WAYS = {"batched", "padded on the right", "after a kept beginning", "padded on the left"}


class Leaky(nn.Module):
    """A norm that adds a little of what stands elsewhere: along axis 0 in other rows, along
    axis 1 at other places; along axis 2 nowhere else."""

    def __init__(self, norm, axis, share):
        super().__init__()
        self.norm, self.axis, self.share = norm, axis, share

    def __call__(self, x):
        y = self.norm(x)
        return y + self.share * y.mean(axis=self.axis, keepdims=True)


def _found(base):
    return agreement(base, [base.encode(text) for text in TEXTS])


@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_causal_base_agrees_with_itself(fresh, dtype):
    fresh.model.set_dtype(getattr(mx, dtype))
    found = _found(fresh)
    assert found["within"] and set(found["ways"]) == WAYS and found["dtype"] == dtype
    assert found["largest"] <= found["bound"] == BOUNDS[dtype]


@pytest.mark.parametrize(
    ("axis", "share", "leaks"),
    [
        (0, 0.01, WAYS - {"after a kept beginning"}),
        (1, 0.01, WAYS),
        (2, 0.5, set()),
    ],
)
def test_what_leaks_between_rows_is_seen(fresh, axis, share, leaks):
    inner = fresh.model.model
    inner.norm = Leaky(inner.norm, axis, share)
    found = _found(fresh)
    seen = {way for way, largest in found["ways"].items() if largest > found["bound"]}
    assert leaks <= seen and found["within"] == (not leaks)


def test_what_is_no_number_agrees_with_nothing(fresh):
    inner = fresh.model.model
    inner.norm.weight = inner.norm.weight * float("nan")
    found = _found(fresh)
    assert not found["within"] and found["largest"] is None and set(found["ways"].values()) == {None}
