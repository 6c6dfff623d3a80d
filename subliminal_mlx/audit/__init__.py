"""The audit: which trait, of which family, does this data set carry, and on what evidence?

    spec, source = AuditSpec(), lambda: read_rows(Path("rows.jsonl"))
    result = examine(read_inputs(source, load(spec.base), spec, Path("lab/audit")))
    result["verdict"], result["trait"]          # "carried", "animals/owl"

reading: rows in. form, corpus, inputs: what is scored of them, coverage: how much that is. suspects, known, gradients:
teachers, and how much likelier each finds the rows. surprise: whether the base may have written them. scan, whole, null:
what that is worth on model organisms; factored, evidence: on language models. verdict: in words. attribution: which rows
and tokens.
"""
