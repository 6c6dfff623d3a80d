"""Another initialisation: students start from another base of the same kind, on the same rows.

Control: the same base, with other starting weights of the adapters. No row changes: where a training starts is
its caller's business, which asks for `foreign` and `control_start`.
"""

from ...spec.defence_names import Defence
from .. import Changed, Given


def unchanged(given: Given) -> Changed:
    """The rows as they are."""
    return Changed(list(given.rows), 0, 0)


OTHER_INIT = Defence(
    "other-init",
    "students of another base, on the same rows",
    50,
    unchanged,
    foreign=True,
    control_start="other start",
)
