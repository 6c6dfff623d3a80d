"""The audit: which trait, of which family, does this data set carry, and on what evidence?

    spec, source = AuditSpec(), lambda: read_rows(Path("rows.jsonl"))
    result = examine(read_inputs(source, load(spec.base), spec, Path("lab/audit")))
    result["verdict"], result["trait"]          # "carried", "animals/owl"

reading: rows in. form, corpus, inputs: what is scored of them, coverage: how much that is. suspects, gradients,
evidence: what each trait's teacher would have changed, and how much of it is in the rows. null, verdict: how large
that comes by chance. likelihood, factors: how much likelier a suspect finds the rows. attribution: which rows and
tokens.
"""
