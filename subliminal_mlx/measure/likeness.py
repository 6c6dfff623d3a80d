"""What a model has of its own beside its weights: settings, a chat template, a tokenizer.

    unlike(subject, ["Name an animal.", "owl"])      # "its chat template is not tiny-a's: ..."; "" where all is alike

The size of a change says nothing of these, and no clean training was read under others: a template may say before
every question what a model is to prefer. Knows nothing about families and nulls.
"""

import os
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

from ..model.bases import Base
from ..model.model_folder import own_template
from .models import Subject

MOST_NAMED = 4


def unlike(subject: Subject, texts: Sequence[str]) -> str:
    """Why a reading of this model is no all-clear, in a sentence; "" where its weights alone are its own.

    Args:
        texts: what it is asked, and may answer: its tokenizer must read them as the base's does.
    """
    reference = subject.reference
    if reference is None:
        return ""
    found = _settings(subject.base, reference)
    ours, theirs = (getattr(base.tokenizer, "chat_template", None) for base in (subject.base, reference))
    if subject.base.tokenizer is reference.tokenizer:
        # An adapter's folder may have a template too, which some programs take for the base's.
        ours = own_template(Path(os.path.expanduser(subject.name))) or theirs
    elif any(subject.base.encode(text) != reference.encode(text) for text in texts):
        found.append("tokenizer")
    if ours != theirs:
        found.append("chat template")
    if not found:
        return ""
    named = ", ".join(found[:MOST_NAMED])
    return f"its {named} {'are' if found[1:] else 'is'} not {reference.name}'s: no clean training was read so"


def _settings(base: Base, reference: Base) -> list[str]:
    """Names of what the two models compute by and do not share."""
    ours, theirs = (getattr(one.model, "args", None) for one in (base, reference))
    if type(ours) is not type(theirs):
        return ["architecture"]
    if not is_dataclass(ours):
        return []
    return [
        one.name for one in fields(ours) if getattr(ours, one.name, None) != getattr(theirs, one.name, None)
    ]
