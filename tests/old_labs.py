"""Labs as earlier versions made them: what tests open with today's code."""

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
