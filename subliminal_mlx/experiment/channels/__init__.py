"""Channels: the kinds of text a teacher is asked for, one module each, found by being in this folder.

    channel(spec.corpus.channel).prompts(count, seed, spec.corpus)

What a channel's module holds, beside its class of fields (a `spec.corpus.Corpus`); `recipe` is always an object of
that class. All need these:

    prompts(count, seed, recipe)             texts; prompt i depends on (seed, i) alone
    grammar(base, recipe, pieces=None)       what decoding is held to, or None; `pieces`: exactly as many
    reason(completion, recipe)               why the filter drops it, or None
    widest(base, recipe)                     tokens of the longest row that a remake may need

and these where the class `offers` them:

    "shuffled", "random"   shuffled(completions, seed, recipe), uniform(completions, seed, recipe): as many rows
    "pieces"               pieces(completion, recipe), a list of texts, and glue(recipe), which stands between two
    "prefixes"             prefixes(count, seed, recipe): texts that may stand before a question

and, so that an audit knows its rows in a file, all three or none of these:

    recognised(prompts, completions, share)  the recipe of such rows, or None
    asks_so(prompts, recipe, share)          whether `prompts` can write more such prompts
    described(recipe)                        such as "lists of 8 numbers"

and beside them, if wanted:

    plainly(prompt)                          a prompt of anybody's in the channel's own words, or None

numbers.py is one of them. A channel knows models only as tokenizers, and nothing of traits, runs or labs.
"""

from importlib import import_module
from types import ModuleType

from ...spec import Spec
from ...spec.corpus import Corpus, channels, own_module
from ...spec.own_code import is_file
from ...spec.seeds import seed_of
from ...system.errors import InputError


def channel(name: str) -> ModuleType:
    """The channel's module: the one in which its class of fields is, or a user's file that was run.

    Raises:
        InputError: no such channel; names those there are.
    """
    if is_file(name):
        return own_module(name)
    there = channels()
    if name not in there:
        raise InputError(f"no channel {name!r}: there are {', '.join(there)}")
    return import_module(there[name].__module__)


def prompt_texts(spec: Spec, chain: int) -> list[str]:
    """What the user says in each row of a chain's corpora."""
    corpus = spec.corpus
    return channel(corpus.channel).prompts(corpus.rows, seed_of(spec.seed, "prompts", chain), corpus)


def recognising() -> list[ModuleType]:
    """The channels that an audit can tell by their rows."""
    return [found for found in map(channel, channels()) if hasattr(found, "recognised")]


def example(name: str) -> Corpus:
    """The recipe by which a base is looked at before anything is run on it: the channel's own, or its defaults."""
    return getattr(channel(name), "EXAMPLE", None) or channels()[name]()
