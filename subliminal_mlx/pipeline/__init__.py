"""A run from spec to summary: units of work, the processes that do them, progress."""
