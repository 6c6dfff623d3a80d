"""How much of a corpus an audit scored, in words: for the terminal, the report and the page.

    scored("...")                    # "1,000 rows, 2,000 answers, lists of 8 numbers"
    lines(result)                    # ["not scored: 44% of characters (messages: 17,426 in 1,000 rows)", ...]

An audit of before says nothing of it, and neither do these.
"""

from typing import Any

from ..system.quantities import percent

FEW = 5
_ANSWERS = {"last": "the last answer of each row alone", "weighted": "answers of weight 0 left out"}


def scored(result: dict[str, Any]) -> str:
    """Rows, and answers where they are more, with their form."""
    answers = result.get("answers", result["rows"])
    more = f", {answers:,} answers" if answers != result["rows"] else ""
    return (
        f"{result['rows']:,} rows{more}, {result['form']}" if more else f"{result['rows']:,} {result['form']}"
    )


def lines(result: dict[str, Any]) -> list[str]:
    """What was not scored, and what is to be known of how rows were read; empty where there is nothing of either."""
    found = result.get("coverage")
    if not found:
        return []
    reading, said = result.get("reading", {}), []
    if parts := _shares(found):
        said.append(
            f"not scored: {'; '.join(parts)} (above {percent(found['most'], 0)} nothing is said not to be found)"
        )
    if (how := reading.get("answers")) in _ANSWERS:
        said.append(f"read as asked: {_ANSWERS[how]}")
    if reading.get("prompt_key"):
        said.append(f"read as asked: {reading['prompt_key']} and {reading['completion_key']}")
    return [
        *said,
        *found["told"][:FEW],
        *([f"and {len(found['told']) - FEW} more"] if found["told"][FEW:] else []),
    ]


def _shares(found: dict[str, Any]) -> list[str]:
    """Of rows, characters and tokens, where any were not scored."""
    shares, said = found["shares"], []
    if found["unread_rows"]:
        said.append(f"{found['unread_rows']:,} of {found['rows']:,} rows ({percent(shares['rows'])})")
    if found["unread_characters"]:
        named = [f"{e['name']}: {e['characters']:,} in {e['rows']:,} rows" for e in found["unread"][:FEW]]
        where = f" ({', '.join(named)})" if named else ""
        said.append(f"{percent(shares['characters'])} of characters{where}")
    if found["unknown_tokens"] or found["cut_tokens"]:
        kinds = {"unknown to the base": found["unknown_tokens"], "cut off": found["cut_tokens"]}
        named = [f"{count:,} {kind}" for kind, count in kinds.items() if count]
        said.append(f"{percent(shares['tokens'])} of {found['tokens']:,} tokens ({', '.join(named)})")
    return said
