"""Adapters trained on rows as one stack: what a block's seeds decide."""

import numpy as np

from subliminal_mlx.experiment.students import equally_spaced, train_on_rows
from subliminal_mlx.model.adapters import Shape
from subliminal_mlx.model.rows import pack
from subliminal_mlx.model.train import Recipe


def test_the_last_point_is_the_last_step():
    assert equally_spaced(140, 4) == [35, 70, 105, 140]
    assert equally_spaced(5, 2) == [2, 5]


def test_another_start_leaves_the_order_of_the_data(tiny):
    """A start names the first weights alone: the slot beside it is as it would be by itself."""
    prompts = [tiny.prompt(f"Continue: {i} 2 3")[1] for i in range(10, 18)]
    rows = pack(prompts, [(*tiny.encode("4 5 6"), tiny.eos)] * 8)
    seen = []
    watch = {"points": equally_spaced(3, 3), "on_point": lambda step, stack: seen.append(step)}
    shape, recipe = Shape(2), Recipe(3, 2, 1e-2)
    both, losses = train_on_rows(tiny, [rows, rows], shape, recipe, [1, 1], starts=[1, 2], **watch)
    alone, loss = train_on_rows(tiny, [rows], shape, recipe, [1])
    assert seen == [1, 2, 3] and losses.shape == (3, 2)
    # B starts at 0 whatever A is: the first step's loss is that of the same rows, and later ones differ.
    assert losses[0, 0] == losses[0, 1] and losses[1, 0] != losses[1, 1]
    for path, ab in alone.arrays.items():
        assert np.array_equal(np.array(ab["a"][0]), np.array(both.arrays[path]["a"][0]))
        assert not np.array_equal(np.array(ab["a"][0]), np.array(both.arrays[path]["a"][1]))
    assert np.array_equal(loss[:, 0], losses[:, 0])
