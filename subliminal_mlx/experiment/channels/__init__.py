"""Channels: the kinds of text a teacher is asked for, one module each.

A channel module has `prompts`, `grammar`, `reason`, `shuffled` and `uniform`; see numbers.py.
"""

from types import ModuleType

from ...spec import Spec
from ...spec.seeds import seed_of
from ...system.errors import InputError
from . import numbers

CHANNELS = {"numbers": numbers}


def channel(name: str) -> ModuleType:
    """The channel's module.

    Raises:
        InputError: no such channel; names those there are.
    """
    if name not in CHANNELS:
        raise InputError(f"no channel {name!r}: there are {', '.join(CHANNELS)}")
    return CHANNELS[name]


def prompt_texts(spec: Spec, chain: int) -> list[str]:
    """What the user says in each row of a chain's corpora."""
    corpus = spec.corpus
    return channel(corpus.channel).prompts(corpus.rows, seed_of(spec.seed, "prompts", chain), corpus)
