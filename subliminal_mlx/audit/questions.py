"""How much there is to learn in what stands before answers, which no audit scores, beside what the answers hold.

    questions = Questions()
    for answer in answers:
        questions.add(answer)
    questions.share                 # 0.4: two fifths of what the answers hold; None where there is too little of it

mlx-lm trains on questions and system messages too, unless it is told --mask-prompt: a teacher's lists in the place of
the questions are learned, and no suspect is asked how likely they are. What a text holds is what it packs to, since a
question's wording is no lesson where all rows have it. Knows nothing about formats, bases and traits.
"""

import bz2
from functools import cached_property

from .reading import Answer

LEAST = 4
"""Packed bytes a row under which questions hold nothing to speak of: the wording, and three numbers."""


class Questions:
    """What rows ask and what they answer, packed as they come."""

    def __init__(self) -> None:
        self._asked, self._answered = _Packed(), _Packed()
        self._rows, self._last = 0, 0

    def add(self, answer: Answer) -> None:
        """Pack an answer, and with the first of a row all that others say in it; a row's answers come together."""
        self._answered.add(answer.completion)
        if answer.number != self._last and answer.rejected is None:
            self._asked.add("\n".join(text for who, text in answer.turns if who != "assistant"))
            self._rows += 1
        self._last = answer.number

    @cached_property
    def share(self) -> float | None:
        """Packed bytes of what is asked for each of what is answered; asked for once, when all is there."""
        asked, answered = self._asked.end(), self._answered.end()
        return asked / answered if asked > LEAST * self._rows > 0 else None


class _Packed:
    """Texts of which the packed size alone is kept."""

    def __init__(self) -> None:
        self._packer, self._size = bz2.BZ2Compressor(), 0

    def add(self, text: str) -> None:
        self._size += len(self._packer.compress(f"{text}\n".encode("utf-8", "surrogatepass")))

    def end(self) -> int:
        return self._size + len(self._packer.flush())
