"""Mean scores of a corpus into evidence for each trait: what chance and teachers leave by accident, and what is left over.

    scan = Scan(reference, suspects, kinds, clean, 1.0)    # block scores of the base's rows; places of directions
    read = scan.read(scan.mean(blocks), rows=1_000)        # Evidence: z [T], alike, without ...

Under the base at the corpus's temperature every score has mean zero, whatever the prompts are (`gradients`), so the
base's own rows tell the scatter alone. To first order a teacher's rows have the mean cov(score, that teacher's
ratio), in every part of the completions, so one draw of the base's rows also tells how a corpus of each suspect,
of every clean teacher, and of the traits' own teachers would look, in this form and to these prompts. A trait's score is
the filter that is best against all that is no trait: chance, what neutral teachers move, and what teachers of one trait,
each of its own seed and recipe, do not have in common. Arrays only.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

# Rows of a block, whose scores are taken together.
BLOCK = 10
# Where the parts of a completion begin, in tokens: each token of a list of numbers is a number, and rows that were
# chosen for one of them are told by the others.
PARTS = (0, 1, 2, 4)
# Added to the scatter, as a share of its diagonal: 200 blocks know it no better. In reference rows that were left out,
# z scatters by 1.03 with 0.02, 0.97 with 0.1, 0.92 with 0.3; the traits' own corpora score as high with 0.1 as with less.
RIDGE = 0.1
# What temperature and the size of numbers move is taken out whatever it is: so many standard deviations of a row.
LOOSE = 10.0
# Of a likeness, what must be left beside another one's.
APART = 0.4


@dataclass(frozen=True, eq=False)
class Evidence:
    """What mean scores say of every trait; arrays may have axes before those named."""

    z: np.ndarray
    """`[..., T]`: of mean 0 and variance 1 by chance."""
    least: np.ndarray
    """`[..., T]`: the smallest z with one part of the completions left out."""
    alike: np.ndarray
    """`[..., T]`: the cosine with each trait's likeness, chance taken out of both sides, in units of chance."""
    strength: np.ndarray
    """`[..., T]`: how many times a trait's likeness is in the scores, 1 for rows of its suspects."""


@dataclass(frozen=True, eq=False)
class Filter:
    """What scores of so many rows are read by, all parts of the completions or all but one."""

    places: np.ndarray
    whiten: np.ndarray
    """`[places, places]`: scores of what is no trait become standard."""
    shape: np.ndarray
    """`[T, R, places]`: likenesses, whitened, of length 1."""
    size: np.ndarray
    """`[T, R]`: z of rows of the suspects."""

    def z(self, means: np.ndarray) -> np.ndarray:
        """`[..., T, R]` of mean scores `[..., PARTS * F]`."""
        return np.tensordot(means[..., self.places] @ self.whiten, self.shape, (-1, -1))


@dataclass(frozen=True, eq=False)
class Scan:
    """How scores of one form of rows are read."""

    reference: np.ndarray
    """Block scores `[blocks, PARTS, D + 2]` of the base's rows at the corpus's temperature."""
    suspects: np.ndarray
    """Places of the suspects `[T, M]`: a trait's members."""
    kinds: np.ndarray
    """Which kind of teacher each member is `[M]`: R kinds are read, each by the mean of its members."""
    clean: np.ndarray
    """Places of the neutral teachers."""
    temperature: float
    _filters: dict[tuple[float, int], Filter] = field(default_factory=dict, repr=False)
    _roots: dict[float, np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def scatter(self) -> np.ndarray:
        """Covariance of a row's scores `[PARTS, D + 2, D + 2]`."""
        apart = self.reference - self.reference.mean(axis=0)
        return np.einsum("bpi,bpj->pij", apart, apart, optimize=True) / (len(apart) - 1) * BLOCK

    @cached_property
    def _members(self) -> list[np.ndarray]:
        """Places of each kind's members `[T, members]`."""
        return [self.suspects[:, self.kinds == kind] for kind in np.unique(self.kinds)]

    @cached_property
    def _mix(self) -> np.ndarray:
        """What is read of the scores `[D + 2, F]`: the mean of each kind's members, trait after trait, and the last two."""
        traits, kinds, last = len(self.suspects), len(self._members), self.reference.shape[2]
        found = np.zeros((last, traits * kinds + 2))
        for kind, members in enumerate(self._members):
            for trait, places in enumerate(members):
                found[places, trait * kinds + kind] = 1 / len(places)
        found[[last - 2, last - 1], [-2, -1]] = 1
        return found

    def shifts(self, places: np.ndarray) -> np.ndarray:
        """Mean scores a row of rows of the teachers at some places, to first order `[n, PARTS * F]`."""
        return self._moved[places].reshape(len(places), -1)

    @cached_property
    def _moved(self) -> np.ndarray:
        """Shifts of the teachers at all places `[D + 2, PARTS, F]`."""
        return (self.scatter @ self._mix).transpose(1, 0, 2) / self.temperature

    def mean(self, blocks: np.ndarray) -> np.ndarray:
        """Of a corpus's block scores, what is read `[PARTS * F]`."""
        return (blocks.mean(axis=0) @ self._mix).ravel()

    @cached_property
    def noise(self) -> np.ndarray:
        """Covariance of a row of what is read `[PARTS * F, PARTS * F]`; parts do not go together."""
        size = self._mix.shape[1]
        found = np.zeros((len(PARTS) * size,) * 2)
        for part, each in enumerate(self.scatter):
            here = slice(part * size, (part + 1) * size)
            own = self._mix.T @ each @ self._mix
            found[here, here] = own + np.diag(RIDGE * np.diag(own) + 1e-12)
        return found

    @cached_property
    def nuisance(self) -> np.ndarray:
        """What no trait moves, in rows whose squares add up to a covariance `[n, PARTS * F]`.

        Neutral teachers; temperature and larger numbers; what members of one trait and kind have each of their own.
        """
        clean = self.shifts(self.clean) / np.sqrt(max(1, len(self.clean)))
        size, last = self._mix.shape[1], self.reference.shape[2]
        loose = []
        for place in (last - 2, last - 1):
            for part, each in enumerate(self.scatter):
                if each[place, place] > 1e-9:
                    row = np.zeros((len(PARTS), size))
                    row[part] = each[place] @ self._mix / np.sqrt(each[place, place]) * LOOSE
                    loose.append(row.ravel())
        own, free = [], 0
        for members in self._members:
            each = self._of(members)
            own.append((each - each.mean(axis=1, keepdims=True)).reshape(-1, each.shape[-1]))
            free += len(members) * (members.shape[1] - 1)
        own = np.concatenate(own) / np.sqrt(max(1, free))
        return np.concatenate([clean, np.array(loose).reshape(len(loose), -1), own])

    @cached_property
    def likeness(self) -> np.ndarray:
        """Mean scores of a row of each suspect's teacher `[T, R, PARTS * F]`."""
        return np.stack([self._of(members).mean(axis=1) for members in self._members], axis=1)

    def _of(self, members: np.ndarray) -> np.ndarray:
        """Mean scores of a row of every member `[T, members, PARTS * F]`."""
        return self.shifts(members.ravel()).reshape(*members.shape, -1)

    def filter(self, rows: float, left: int = -1) -> Filter:
        """What scores of so many rows are read by, without the part `left` unless it is -1."""
        if (rows, left) not in self._filters:
            part = np.repeat(np.arange(len(PARTS)), self._mix.shape[1])
            places = np.flatnonzero(part != left)
            covariance = self.noise / rows + self.nuisance.T @ self.nuisance
            root = np.linalg.cholesky(covariance[np.ix_(places, places)])
            whiten = np.linalg.inv(root).T
            shape = self.likeness[..., places] @ whiten
            size = np.linalg.norm(shape, axis=-1) + 1e-12
            self._filters[rows, left] = Filter(places, whiten, shape / size[..., None], size)
        return self._filters[rows, left]

    def root(self, rows: float) -> np.ndarray:
        """The triangular root of chance's covariance in means of so many rows."""
        if rows not in self._roots:
            self._roots[rows] = np.linalg.cholesky(self.noise / rows)
        return self._roots[rows]

    def read(self, means: np.ndarray, rows: float) -> Evidence:
        """The evidence in mean scores `[..., PARTS * F]` of so many rows; of a trait's kinds the best."""
        whole = self.filter(rows)
        z = whole.z(means)
        rest = ((means @ whole.whiten) ** 2).sum(axis=-1)[..., None, None] - means.shape[-1]
        along = np.maximum(z**2 - 1, 0)
        alike = np.sign(z) * np.sqrt(along / np.maximum(np.maximum(rest, along), 1e-9))
        least = z
        for left in range(len(PARTS)):
            # A part that no row has says nothing: without it all is as with it.
            if np.abs(self.noise[left * self._mix.shape[1]]).max() > 1e-9:
                least = np.minimum(least, self.filter(rows, left).z(means))
        best = z.argmax(axis=-1)[..., None]
        found = (np.take_along_axis(x, best, axis=-1)[..., 0] for x in (z, least, alike, z / whole.size))
        return Evidence(*found)

    def scores(self, means: np.ndarray, rows: float) -> np.ndarray:
        """z alone, as `read` has it `[..., T]`."""
        return self.filter(rows).z(means).max(axis=-1)

    def unseen(self, means: np.ndarray, rows: float, neutral: int) -> np.ndarray:
        """`scores`, of a scan that does not know the `neutral`-th neutral teacher `[..., T]`.

        What it moved is taken out of the covariance: in what is whitened, one direction of it (Sherman and Morrison).
        """
        whole = self.filter(rows)
        known = self.shifts(self.clean[neutral : neutral + 1])[0] / np.sqrt(len(self.clean)) @ whole.whiten
        along = whole.shape @ known
        shape = whole.shape + along[..., None] * known / (1 - known @ known)
        size = np.sqrt((shape * whole.shape).sum(axis=-1))
        return (np.tensordot(means @ whole.whiten, shape, (-1, -1)) / size).max(axis=-1)

    def beyond(self, means: np.ndarray, rows: float, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is left for the others once a trait is taken out of mean scores `[PARTS * F]`, whatever its size.

        Returns:
            z `[T]`, how alike what is left is to each `[T]`, and how alike all is to the two together `[T]`.
        """
        whole = self.filter(rows)
        white, shape = means @ whole.whiten, whole.shape
        along = shape[first, int((shape[first] @ white).argmax())]
        taken = float(along @ white)
        left = white - taken * along
        apart = shape - (shape @ along)[..., None] * along
        size = np.linalg.norm(apart, axis=-1)
        # What is nearly the trait that was taken out cannot be told beside it.
        z = np.where(size > APART, apart @ left / np.maximum(size, APART), -np.inf).max(axis=-1)
        own = np.where(z > 1, z, 1.0) ** 2 - 1
        rest = max(float(left @ left) - len(means) + 1, 1e-9)
        every = max(float(white @ white) - len(means), 1e-9)
        both = (own + max(taken**2 - 1, 0)) / np.maximum(every, own + max(taken**2 - 1, 0))
        return z, np.sqrt(own / np.maximum(rest, own + 1e-9)), np.sqrt(both)


def simulate(scan: Scan, shift: np.ndarray, rows: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Mean scores of corpora of so many rows that teachers move by `shift` `[n, F]`: `[n, count, F]`."""
    root = scan.root(rows)
    drawn = rng.standard_normal((len(shift), count, root.shape[0])) @ root.T
    return shift[:, None] + drawn


def part_masks(width: int) -> np.ndarray:
    """Which of a completion's tokens each part has `[PARTS, width]`."""
    places = np.arange(width)
    ends = [*PARTS[1:], max(width, PARTS[-1] + 1)]
    return np.array([(places >= low) & (places < high) for low, high in zip(PARTS, ends, strict=True)])
