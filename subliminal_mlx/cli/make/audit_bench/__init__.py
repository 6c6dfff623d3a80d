"""The audit's benches: what it finds, what it foretells, and where it fails, on rows of known origin.

    python -m subliminal_mlx.cli.make.audit_bench LAB                      # verdicts on some 300 corpora, on tiny-a
    python -m subliminal_mlx.cli.make.audit_bench LAB honest BASE OTHER    # on another base, beside one like it
    python -m subliminal_mlx.cli.make.audit_bench LAB honest tiny-a tiny-b 0    # those that its rules were chosen on
    python -m subliminal_mlx.cli.make.audit_bench LAB prediction           # 48 runs, transfer foretold and measured
    python -m subliminal_mlx.cli.make.audit_bench LAB prediction probes    # with what probe students see, too
    python -m subliminal_mlx.cli.make.audit_bench LAB language RUN         # rows of a run on a language model
    python -m subliminal_mlx.cli.make.audit_bench LAB language RUN,RUN 1 lines=all       # of two: first chains, with students
    python -m subliminal_mlx.cli.make.audit_bench LAB language RUN null.corpora=25       # verdicts, over a hundred clean corpora

Results go to data/results/audit. Everything that is computed stays in LAB: a command goes on where it was
stopped.
"""
