"""Prompts and completions as padded blocks: what is scored and trained on. Arrays only, no MLX.

rows = pack(prompts, completions)                # token ids in
targets, mask = completion_targets(rows)         # [N, C]
for index, batch in batched(rows, 16_384): ...   # rows of like length, trimmed
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Rows:
    """Prompts and completions as one padded block.

    `tokens [N, T]`: prompt, completion, padding on the right, where causal attention cannot see it.
    `start [N]`: index of the completion's first token; `length [N]`: tokens of the completion;
    `widest`: C, the tokens that a completion can have, here or in the block that the rows came from.
    `targets [N, C, A]`, for soft students: the source's probability of each of `allowed [A]` tokens.
    `counted [N, C]`: completion tokens that a training learns from; None for all of them.
    `states [N, C, D]`: of rows that a training learns as the base would have gone on, not as they stand, the base's states
    from which each completion token is predicted; all zeros in other rows.
    """

    tokens: np.ndarray
    start: np.ndarray
    length: np.ndarray
    widest: int
    targets: np.ndarray | None = None
    allowed: np.ndarray | None = None
    counted: np.ndarray | None = None
    states: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, index: np.ndarray) -> "Rows":
        """The rows at `index`."""
        at = lambda array: None if array is None else array[index]
        return replace(
            self,
            **{name: at(getattr(self, name)) for name in ("tokens", "start", "length")},
            **{name: at(getattr(self, name)) for name in ("targets", "counted", "states")},
        )

    def trimmed(self) -> "Rows":
        """Tokens alone, without the padding that none of these rows needs."""
        longest = int((self.start + self.length).max())
        return Rows(self.tokens[:, :longest], self.start, self.length, int(self.length.max()))


def pack(
    prompts: Sequence[tuple[int, ...]],
    completions: Sequence[tuple[int, ...]],
    width: int | None = None,
    widest: int | None = None,
) -> Rows:
    """Rows padded to `width` tokens, completions to `widest`, or to the longest.

    What trains in one stack must be packed alike, from the spec and not from the rows at hand, or a
    slot's shapes would depend on its neighbours.

    Raises:
        ValueError: an empty prompt or completion, or a row longer than `width`; names the row.
    """
    if not prompts:
        raise ValueError("no rows to pack")
    lengths = [len(p) + len(c) for p, c in zip(prompts, completions, strict=True)]
    width = width or max(lengths)
    tokens = np.zeros((len(lengths), width), dtype=np.int32)
    for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        if not prompt or not completion:
            raise ValueError(f"row {i}: prompt and completion must each hold at least one token")
        if lengths[i] > width:
            raise ValueError(f"row {i}: {lengths[i]} tokens do not fit into {width}")
        if widest and len(completion) > widest:
            raise ValueError(f"row {i}: a completion of {len(completion)} tokens does not fit into {widest}")
        tokens[i, : lengths[i]] = prompt + completion
    length = np.array([len(c) for c in completions])
    return Rows(tokens, np.array([len(p) for p in prompts]), length, widest or int(length.max()))


def completion_targets(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Completion tokens `[N, C]` and the mask `[N, C]` of those that exist and count."""
    positions = np.minimum(rows.start[:, None] + np.arange(rows.widest), rows.tokens.shape[1] - 1)
    mask = np.arange(rows.widest) < rows.length[:, None]
    if rows.counted is not None:
        mask = mask & rows.counted
    return np.take_along_axis(rows.tokens, positions, axis=1), mask


def batched(rows: Rows, batch_tokens: int) -> Iterator[tuple[list[int], Rows]]:
    """Indices and rows of similar length, trimmed to their longest, so that little is padding."""
    lengths = rows.start + rows.length
    order = np.argsort(lengths, kind="stable").tolist()
    while order:
        count = 1
        # Rows come shortest first: the newest one sets the padded length.
        while count < len(order) and (count + 1) * lengths[order[count]] <= batch_tokens:
            count += 1
        index, order = order[:count], order[count:]
        yield index, rows.take(np.array(index)).trimmed()
