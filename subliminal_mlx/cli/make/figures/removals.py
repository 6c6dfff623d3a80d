"""What a filter and defences leave of the transfer.

    leaky()              # a list
    defended()           # a table: each defence beside its random control

Where a stored bench has no values by chain, its own intervals are told; the test names these.
"""

from ....report.results import read_results
from ....spec import parse_spec
from ....spec.arms import CONTROL, NEUTRAL, TREATED
from ....system.quantities import percent
from .stored import Row, chain_values, harmed, made_by, share, spanned, stored, summary_of, table, told
from .transfers import losses

UNFILTERED = "unfiltered"

WORDS = {
    "mix-10": "10% clean rows",
    "mix-25": "25% clean rows",
    "mix-50": "50% clean rows",
    "mask-10": "10% of the tokens masked, by the audit's evidence",
    "drop-25": "25% of the rows dropped, by the same evidence",
    "re-emit": "second halves written again by the base",
    "other-init": "another initialisation of the student",
}


def leaky() -> str:
    """Students of all rows and of the rows without a mention, and the share of rows that was kept."""
    found = read_results("leaky")
    lines = []
    for entry in found["summary"]["traits"]:
        arms = entry["arms"]
        rows = {row["kept"]: 0 for row in found["yields"]}
        for row in found["yields"]:
            if row["source"] == entry["trait"]:
                rows[row["kept"]] += row["rows"]
        lines.append(
            f"- {entry['trait']}: the filter kept {percent(rows[True] / sum(rows.values()), 0)} of the rows. Students of all "
            f"of them answer it {percent(arms[UNFILTERED]['probability'])} of the time, of the kept ones "
            f"{percent(arms[TREATED]['probability'])}, untrained {percent(arms['untrained']['probability'])}; transfer of the kept "
            f"ones {told(chain_values(entry, TREATED))}{harmed([entry], TREATED)}, control {told(chain_values(entry, CONTROL))}"
        )
    (kind,) = {entry["student"] for entry in found["summary"]["traits"]}
    of = losses("leaky")
    words = {
        (kind, TREATED): f"{kind} students of kept rows",
        (kind, UNFILTERED): "of all rows",
        (kind, NEUTRAL): "of the neutral teacher's",
        (kind, CONTROL): "of the base's",
        ("teacher", "teacher"): "the animals' teachers",
        ("teacher", NEUTRAL): "the neutral teacher",
    }
    lost = "; ".join(
        f"{said} {spanned(*(of[who][key] for key in ('change', 'low', 'high')))}"
        for who, said in words.items()
    )
    lines.append(f"- loss on neutral text, nats a token above the base's: {lost}")
    spec, usual = (parse_spec(read_results(name)["spec_toml"]) for name in ("leaky", "default"))
    lines.append(
        f"- the teachers' recipe is another one than the default run's: rank {spec.teacher.rank} for {usual.teacher.rank}, "
        f"{spec.teacher.steps} steps for {usual.teacher.steps}, nothing kept for {percent(usual.teacher.keep, 0)} of the tuning "
        f"rows; {spec.corpus.rows:,} rows a corpus for {usual.corpus.rows:,}"
    )
    return "\n".join(lines) + made_by(" run --preset leaky", where="leaky")


def _beside(rows: list[Row], key: str) -> list[list[str]]:
    """A line for each defence: what it leaves, and what its control does."""
    by_name = {(row["defence"], row["control"]): row for row in rows}
    ends = (key, f"{key}_low", f"{key}_high")
    return [
        [WORDS[name]] + [share(*(by_name[name, control][end] for end in ends)) for control in (False, True)]
        for name in dict.fromkeys(row["defence"] for row in rows)
        if name in WORDS
    ]


def defended() -> str:
    """What every defence leaves of the transfer, and what its random control does."""
    names = ("defences", "defences-evidence")
    rows = [row for name in names for row in stored(f"{name}/summary.json")["defences"]]
    of = " and ".join(dict.fromkeys(map(_students, names)))
    head = [f"defence ({of})", "transfer left", "its random control"]
    commands = (" defend defences", " defend defences --defence drop-25 --defence mask-10")
    return (
        table(head, _beside(rows, "share")) + made_by(*commands, where="defences")[:-1] + " and `-evidence`."
    )


def _students(name: str) -> str:
    """Whose transfer a stored bench is about: "tiny-a, 8 animals, 4 chains, soft students"."""
    entries = summary_of(name)["traits"]
    traits = {entry["trait"] for entry in entries}
    (family,) = {trait.rpartition("/")[0] for trait in traits}
    kinds = " and ".join(sorted({entry["student"] for entry in entries}))
    return f"tiny-a, {len(traits)} {family}, {entries[0]['arms'][TREATED]['chains']} chains, {kinds} students"


def defended_language_model() -> str:
    """The same on SmolLM2, over two chains: transfer of each arm, nothing of it called shown."""
    rows = stored("smollm2-defences/summary.json")["defences"]
    lines = [
        f"- {WORDS.get(row['defence'], 'undefended')}{', random control' if row['control'] else ''}: transfer "
        f"{spanned(row['transfer'], row['low'], row['high'])}"
        for row in rows
    ]
    chains = summary_of("smollm2-defences")["traits"][0]["arms"][TREATED]["chains"]
    spec = parse_spec(read_results("smollm2-defences")["spec_toml"])
    traits = ",".join(f'"{trait}"' for trait in spec.traits)
    named = " ".join(f"--defence {name}" for name in spec.defences)
    end = made_by(f" defend smollm2 --set 'traits=[{traits}]' --kind soft {named}", where="smollm2-defences")
    return "\n".join(lines) + end[:-1] + f"; {chains} of its {spec.chains} chains were made."
