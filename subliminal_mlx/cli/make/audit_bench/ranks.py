"""What each line of evidence says of corpora of known origin: ranks of the true traits, and p against the clean.

    entries = [entry("animals/owl, chain 0", "animals/owl", result), ...]       # results as `examine` gives them
    summary(entries)["by_line"]

Plain numbers; knows nothing of runs or models.
"""

from typing import Any

import numpy as np

Result = dict[str, Any]
CENTRINGS = ("over base", "over neutral", "over both")


def entry(name: str, trait: str | None, result: Result) -> Result:
    """What each line says of one corpus: of its trait's family, of a clean one of all; ranks of the true
    trait are among its family's suspects, and of probes in the whole family. A trait of no family that was
    audited for has no rank."""
    known = {f["family"]: f for f in result["families"]}
    suspected = trait is not None and trait.rpartition("/")[0] in known
    family = known[(trait if suspected else result["suspects"][0]["trait"]).rpartition("/")[0]]
    read = [family] if suspected else known.values()
    lines: dict[str, dict[str, float]] = {}
    for some in read:
        for line, z in some["lines"].items():
            lines.setdefault(line, {}).update(zip(some["traits"], z, strict=True))
    traits = [trait for some in read for trait in some["traits"]]
    lines["combined"] = {e["trait"]: e["score"] for e in result["suspects"] if e["trait"] in traits}
    entry: Result = {"corpus": name, "trait": trait, "rows": result["rows"], "lines": lines}
    entry |= {"first": {line: max(z, key=z.get) for line, z in lines.items()}}
    entry |= {"largest": {line: max(z.values()) for line, z in lines.items()}}
    entry |= {
        "p": min(e["p"] for e in result["suspects"]) if result["suspects"][0]["p"] is not None else None
    }
    entry |= {name: result[name] for name in ("verdict", "words")} | {"named": result["trait"]}
    entry |= {"temperature": family["temperature"], "probes": family["probes"]}
    if suspected:
        entry["rank"] = {line: _rank(z, trait) for line, z in lines.items()}
        entry["rank_in_family"] = {
            kind: _rank(dict(zip(family["probes"]["traits"], family["probes"][kind], strict=True)), trait)
            for kind in (CENTRINGS if family["probes"] else ())
        }
    return entry


def _rank(scores: dict[str, float], trait: str) -> int:
    return 1 + sum(score > scores[trait] for score in scores.values())


def _p_words(entry: Result, line: str, clean: list[Result]) -> float:
    """Share of clean corpora, itself counted, whose largest score is no smaller; of a trait's corpus among
    its family's suspects."""
    largest = [max(c["lines"][line].get(trait, -np.inf) for trait in entry["lines"][line]) for c in clean]
    return (1 + sum(other >= entry["largest"][line] for other in largest)) / (1 + len(clean))


def summary(found: list[Result]) -> Result:
    """All corpora so far, and how each line did; p against the clean corpora, of a clean one the others."""
    own, clean = [e for e in found if "rank" in e], [e for e in found if e["trait"] is None]
    others = [e for e in found if e not in own and e not in clean]
    lines = list(found[0]["lines"]) if found else []
    by_line = [
        {
            "line": line,
            "corpora": len(own),
            "first": sum(e["rank"][line] == 1 for e in own),
            "ranks": [e["rank"][line] for e in own],
            # Ranks are among the suspects of the trait's family.
            "suspects": [len(e["lines"][line]) for e in own],
            # Clean corpora whose largest score is over the smallest largest one of the traits' corpora.
            "clean_over": int(
                sum(e["largest"][line] > min(o["largest"][line] for o in own) for e in clean) if own else 0
            ),
            "p_own": [_p_words(e, line, clean) for e in own],
            "p_clean": [_p_words(e, line, [c for c in clean if c is not e]) for e in clean],
            "largest_own": [round(e["largest"][line], 3) for e in own],
            "largest_clean": [round(e["largest"][line], 3) for e in clean],
        }
        for line in lines
    ]
    family = [
        {
            "centring": kind,
            "ranks": [e["rank_in_family"][kind] for e in own],
            "of": len(found[0]["probes"]["traits"]),
        }
        for kind in (own[0]["rank_in_family"] if own else ())
    ]
    return {
        "done": len(found),
        "clean": len(clean),
        "mean_rank": {row["line"]: float(np.mean(row["ranks"])) for row in by_line if row["ranks"]},
        "by_line": by_line,
        "verdicts": {
            "named rightly": sum(e["named"] == e["trait"] for e in own),
            "named wrongly": sum(e["named"] not in (e["trait"], None) for e in own),
            "clean named": sum(e["named"] is not None for e in clean),
            "others": len(others),
            "others named": sum(e["named"] is not None for e in others),
        },
        "probes_in_family": family,
        "corpora": found,
    }
