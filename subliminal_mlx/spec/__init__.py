"""The experiment's spec: one frozen object that holds everything that changes a result. No MLX here.

    spec = load_spec("default")                             # a preset, or a path ending in .toml
    spec = load_spec("default", ["corpus.rows=500"])        # as --set does
    run_id(spec, fingerprints)                              # what the run is called in the lab

Unknown fields, impossible values and sizes over the limits are refused with the field's name and what
is allowed.
"""

from .fields import RESULT_VERSION, Ablation, Arm, Corpus, Filter, Readout, Spec, Student, Teacher, run_id
from .files import FOLDER, load_spec, override_field, parse_spec, presets, to_toml, validate

__all__ = [
    "FOLDER",
    "RESULT_VERSION",
    "Ablation",
    "Arm",
    "Corpus",
    "Filter",
    "Readout",
    "Spec",
    "Student",
    "Teacher",
    "load_spec",
    "override_field",
    "parse_spec",
    "presets",
    "run_id",
    "to_toml",
    "validate",
]
