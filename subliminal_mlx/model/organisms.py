"""Which bases are model organisms, not language models, and how each is computed for it.

    is_organism(66_624), decode_width(66_624), stack_width(66_624)      # True, 1024, 6

Asked by a base's number of weights, which `Base.parameters` has of a loaded one and `sources.locate` of its
files. Knows nothing about files and models, so that estimates and pages may ask.
"""

# The shipped ones, each with the one of the same data and another initialisation.
OTHER_STARTS = {"tiny-a": "tiny-b", "tiny-b": "tiny-a"}
NAMES = "tiny-"  # what all of them are called by, also those that a command makes
FEWEST_OF_LANGUAGE = 10_000_000  # parameters
LANGUAGE_DECODE_WIDTH = 64  # rows of a language model decoded together


def is_called_organism(base: str) -> bool:
    """Whether a base is one by its name, or its folder's: of stored results, whose base may not be here."""
    return base.rpartition("/")[2].startswith(NAMES)


def is_organism(parameters: int | None) -> bool:
    """Whether a base of so many parameters is a model organism; False for None, where its files do not say."""
    return bool(parameters) and parameters < FEWEST_OF_LANGUAGE


def decode_width(parameters: int) -> int:
    """Rows decoded together: fixed by the model, never by the machine, see `sample.Decoding`."""
    return 1_024 if is_organism(parameters) else LANGUAGE_DECODE_WIDTH


def stack_width(parameters: int | None) -> int:
    """Adapters trained together: many where the cost of a step is in its number of operations, one where
    it is in the model's size."""
    return 6 if is_organism(parameters) else 1


def describe_size(parameters: int) -> str:
    """A model's size and kind: "a 164k-parameter model organism", "a 135M-parameter language model"."""
    rounded = float(f"{parameters:.3g}")
    divisor, unit = next(
        (d, u) for d, u in ((1e9, "B"), (1e6, "M"), (1e3, "k"), (1, "")) if rounded >= d or d == 1
    )
    kind = "model organism" if is_organism(parameters) else "language model"
    return f"a {rounded / divisor:g}{unit}-parameter {kind}"
