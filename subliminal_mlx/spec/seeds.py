"""Seeds: every draw of a run has a name, and its seed follows from the spec's and that name. No MLX here.

seed_of(spec.seed, "prompts", chain)          # a 63-bit number
"""

import hashlib


def seed_of(*parts: object) -> int:
    """A 63-bit seed for a named purpose."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
