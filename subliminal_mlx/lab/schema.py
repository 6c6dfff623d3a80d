"""The lab's tables, and how a lab of an older version gets them.

A table that changes raises VERSION and adds a migration from the version before; the migrations that
are there stay as they are. A readout declares its own table; a lab that has none of it yet gets it when it is opened.
"""

import re

from ..experiment.readouts import OF_MODEL, readouts
from ..system.errors import InputError

VERSION = 7

# What a unit of work yields beside readouts.
_OWN: dict[str, dict[str, str]] = {
    "rows": {
        "chain": "INTEGER",
        "source": "VARCHAR NOT NULL",
        "row": "INTEGER NOT NULL",
        "prompt": "VARCHAR NOT NULL",
        "completion": "VARCHAR NOT NULL",
        "prompt_ids": "INTEGER[]",
        "completion_ids": "INTEGER[]",
        "kept": "BOOLEAN NOT NULL",
        "reason": "VARCHAR CHECK (kept = (reason IS NULL))",
    },
    "metrics": {
        "slot": "VARCHAR NOT NULL",
        "step": "INTEGER NOT NULL",
        "loss": "DOUBLE",
    },
    # What a defence took from a student: rows and completion tokens, and loss on clean rows, nats a token.
    "costs": {
        **OF_MODEL,
        "rows_lost": "INTEGER",
        "tokens_lost": "INTEGER",
        "clean_loss": "DOUBLE",
    },
}
# Names that no readout's table may have: the lab's own, those below among them.
_TAKEN = re.compile(f"{'|'.join(_OWN)}|meta|runs|units|adapters|(digits|audit).*")
if taken := next((name for name in readouts() if _TAKEN.fullmatch(name)), None):
    raise InputError(f"readout {taken!r}: a table of the lab is called so")
# What a unit of work may yield; each of these tables starts with a column `run`.
TABLES = _OWN | {name: OF_MODEL | readout.columns for name, readout in readouts().items()}
# Columns by which rows of each are sorted.
ORDER: dict[str, tuple[str, ...]] = {
    "rows": ("source", "chain", "row"),
    "metrics": ("slot", "step"),
    "costs": ("slot",),
    **{name: readout.order for name, readout in readouts().items()},
}
# What a result of the digits experiment or of the one-step theorem may hold; each starts with `result`.
DIGITS: dict[str, dict[str, str]] = {
    "digits_readouts": {
        "arm": "VARCHAR NOT NULL",
        "epoch": "INTEGER NOT NULL",
        "replica": "INTEGER NOT NULL",
        "accuracy": "DOUBLE",
        "loss": "DOUBLE",
        "agreement": "DOUBLE",
        **{f"moved_{layer}": "DOUBLE" for layer in ("trunk", "hidden_1", "hidden_2", "class", "auxiliary")},
    },
    "digits_answers": {
        "epoch": "INTEGER NOT NULL",
        "digit": "INTEGER NOT NULL",
        "answer": "INTEGER NOT NULL",
        "images": "BIGINT NOT NULL",
    },
    "digits_steps": {
        "step": "DOUBLE NOT NULL",
        "distance": "DOUBLE NOT NULL",
        "draw": "INTEGER NOT NULL",
        "inner_product": "DOUBLE",
        "cosine": "DOUBLE",
        "change": "DOUBLE",
        "teacher_change": "DOUBLE",
    },
}

# The rows that an audit's evidence rests on; each of these tables starts with a column `audit`.
AUDITS: dict[str, dict[str, str]] = {
    "audit_rows": {
        "place": "INTEGER NOT NULL",
        "number": "BIGINT NOT NULL",
        "prompt": "VARCHAR",
        "completion": "VARCHAR NOT NULL",
        "trait": "VARCHAR NOT NULL",
        "score": "DOUBLE",
        "tokens": "VARCHAR[]",
        "token_scores": "DOUBLE[]",
    },
}


def created(tables: dict[str, dict[str, str]], of: str) -> str:
    return "".join(
        f'CREATE TABLE "{name}" ({of} VARCHAR NOT NULL, '
        + ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        + ");\n"
        for name, columns in tables.items()
    )


_BOOKS = """
CREATE TABLE meta (key VARCHAR PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE runs (
    id VARCHAR PRIMARY KEY, created TIMESTAMP NOT NULL, title VARCHAR, spec_toml VARCHAR,
    spec_json VARCHAR, environment_json VARCHAR, status VARCHAR NOT NULL, seconds DOUBLE,
    peak_memory_bytes BIGINT, summary_json VARCHAR, version INTEGER);
CREATE TABLE units (
    run VARCHAR, unit VARCHAR, finished TIMESTAMP NOT NULL, seconds DOUBLE, PRIMARY KEY (run, unit));
CREATE TABLE adapters (
    run VARCHAR, slot VARCHAR, folder VARCHAR NOT NULL, sha256 VARCHAR NOT NULL, PRIMARY KEY (run, slot));
"""
_DIGITS = """
CREATE TABLE digits (
    id VARCHAR PRIMARY KEY, created TIMESTAMP NOT NULL, kind VARCHAR NOT NULL, version INTEGER,
    spec_json VARCHAR, data_json VARCHAR, environment_json VARCHAR, seconds DOUBLE,
    peak_memory_bytes BIGINT);
"""
_AUDITS = """
CREATE TABLE audits (
    id VARCHAR PRIMARY KEY, created TIMESTAMP NOT NULL, source VARCHAR, verdict VARCHAR NOT NULL,
    trait VARCHAR, result_json VARCHAR NOT NULL);
"""
CREATION = (
    _BOOKS + created(TABLES, "run") + _DIGITS + created(DIGITS, "result") + _AUDITS + created(AUDITS, "audit")
)
# Costs once stood among the metrics, a row each, named by what was appended to the student's slot.
_COSTS_FROM_METRICS = """
INSERT INTO costs BY NAME
    WITH paid AS (
        SELECT run, regexp_extract(slot, '^(.*)/(.*)$', ['slot', 'cost']) AS part, loss, tokens
        FROM metrics WHERE regexp_matches(slot, '/(rows-lost|tokens-lost|clean-rows)$')),
    students AS (SELECT DISTINCT run, slot, chain, kind, arm, trait FROM readouts)
    SELECT paid.run, part.slot, chain, kind, arm, trait,
        max(tokens) FILTER (part.cost = 'rows-lost') AS rows_lost,
        max(tokens) FILTER (part.cost = 'tokens-lost') AS tokens_lost,
        max(loss) FILTER (part.cost = 'clean-rows') AS clean_loss
    FROM paid LEFT JOIN students ON students.run = paid.run AND students.slot = part.slot
    GROUP BY ALL;
DELETE FROM metrics WHERE regexp_matches(slot, '/(rows-lost|tokens-lost|clean-rows)$');
"""
# Nothing ever wrote these, once costs were gone.
_METRICS_UNWRITTEN = """
ALTER TABLE metrics DROP COLUMN grad_norm;
ALTER TABLE metrics DROP COLUMN learning_rate;
ALTER TABLE metrics DROP COLUMN tokens;
ALTER TABLE metrics DROP COLUMN seconds;
"""
# The neutral text came to be read beside the base, without the end of the turn. Where the table was made a few lines
# further up, it has them already.
_CAPABILITY_BESIDE_BASE = "".join(
    f"ALTER TABLE capability ADD COLUMN IF NOT EXISTS {column};\n"
    for column in ("part VARCHAR", "base_loss DOUBLE", "divergence DOUBLE", "left_out VARCHAR")
)
# From each older version to the next: statements that run in one transaction when a lab is opened.
MIGRATIONS: dict[int, str] = {
    1: _DIGITS + created(DIGITS, "result"),
    2: created({"capability": TABLES["capability"]}, "run"),
    3: _AUDITS + created(AUDITS, "audit"),
    4: created({"costs": TABLES["costs"]}, "run") + _COSTS_FROM_METRICS,
    5: _METRICS_UNWRITTEN,
    6: _CAPABILITY_BESIDE_BASE,
}
