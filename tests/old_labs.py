"""Labs and summaries as earlier versions made them: what tests open with today's code."""

import copy

# What the first version of the lab was.
FIRST = """
CREATE TABLE meta (key VARCHAR PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE runs (
    id VARCHAR PRIMARY KEY, created TIMESTAMP NOT NULL, title VARCHAR, spec_toml VARCHAR,
    spec_json VARCHAR, environment_json VARCHAR, status VARCHAR NOT NULL, seconds DOUBLE,
    peak_memory_bytes BIGINT, summary_json VARCHAR, version INTEGER);
CREATE TABLE units (
    run VARCHAR, unit VARCHAR, finished TIMESTAMP NOT NULL, seconds DOUBLE, PRIMARY KEY (run, unit));
CREATE TABLE adapters (
    run VARCHAR, slot VARCHAR, folder VARCHAR NOT NULL, sha256 VARCHAR NOT NULL, PRIMARY KEY (run, slot));
CREATE TABLE "rows" (run VARCHAR NOT NULL, chain INTEGER, source VARCHAR NOT NULL, "row" INTEGER NOT NULL,
    prompt VARCHAR NOT NULL, completion VARCHAR NOT NULL, prompt_ids INTEGER[], completion_ids INTEGER[],
    kept BOOLEAN NOT NULL, reason VARCHAR CHECK (kept = (reason IS NULL)));
CREATE TABLE answers (run VARCHAR NOT NULL, slot VARCHAR NOT NULL, chain INTEGER, kind VARCHAR, arm VARCHAR,
    trait VARCHAR, family VARCHAR, question VARCHAR, sample INTEGER, answer VARCHAR, matched VARCHAR);
CREATE TABLE metrics (run VARCHAR NOT NULL, slot VARCHAR NOT NULL, step INTEGER NOT NULL, loss DOUBLE,
    grad_norm DOUBLE, learning_rate DOUBLE, tokens BIGINT, seconds DOUBLE);
CREATE TABLE readouts (run VARCHAR NOT NULL, slot VARCHAR NOT NULL, chain INTEGER, kind VARCHAR, arm VARCHAR,
    trait VARCHAR, family VARCHAR, question VARCHAR, step INTEGER, candidate VARCHAR, logp DOUBLE);
INSERT INTO meta VALUES ('schema', 1);
INSERT INTO runs (id, created, status, environment_json)
    VALUES ('ba9876543210', '2026-01-01', 'done', '[{"mlx": "0.32"}]');
"""


OVER_CONTROL = ("over_control", "over_control_low", "over_control_high")


def summary_of_before(summary):
    """A summary as the version before stored it: headed by transfer or lift, p a trait, no transfer by chain."""
    before = copy.deepcopy(summary)
    for entry in before["traits"]:
        own = {"transfer": entry.pop("transfer"), "low": entry.pop("low"), "high": entry.pop("high")}
        lift = [entry.pop(key) for key in ("specificity", "specificity_low", "specificity_high")]
        wide = entry["student"] == "hard" and lift[0] is not None
        entry["headline"] = "lift" if wide else "transfer"
        entry["estimate"], entry["low"], entry["high"] = lift if wide else own.values()
        entry |= {"p": 0.0001, "p_holm": 0.001}
        for key in ("place", "of", "shown", "why_not", *OVER_CONTROL):
            del entry[key]
        entry["by_chain"] = [_renamed(row) for row in entry["by_chain"]]
    for family in before["families"]:
        family["arms"] = _renamed(family["arms"])
        for key in ("p", "p_holm", "p_smallest", "assignments"):
            del family[key]
    for row in before["matrix"]:
        del row["chains"], row["transfers"]
    return before


def _renamed(values):
    return {"lift" if key == "specificity" else key: value for key, value in values.items()}
