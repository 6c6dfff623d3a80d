"""Models and stacks of adapters over them: loading, sampling, scoring, training. Knows no trait and no lab."""
