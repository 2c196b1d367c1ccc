"""Isolation forest: scikit-learn grows it, and bit sets score whole files several times as fast as it does.

Add here what a fitted forest can say about rows. Keep out encoding (`isolation_encoder`), the graph that answers
requests (`isolation_graph`) and the judgement of a detector (`isolation_metrics`).
Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from mlops_assets.training.graph import float32_below
from mlops_assets.training.isolation_encoder import Coded, IsolationEncoder
from mlops_assets.training.threads import one_thread

if TYPE_CHECKING:
    import pandas as pd

# Rows scored at a time: a bit set of them, 32 KB, stays in the processor's cache.
BLOCK = 1 << 18
LEAF = -1


@dataclass(frozen=True, eq=False)
class Trees:
    """The nodes of all trees, tree after tree, parents before children; each array is [nodes] but `roots` [trees].

    A row whose value of matrix column `feature` is at most `threshold` goes to node `left`, else to `right`.
    Leaves have LEAF in `feature`, `left` and `right`. `rows` counts the training rows that reached the node.
    Thresholds are float32, rounded down: they decide every float32 value as the double did.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, forest: Any) -> Trees:
        """The trees of a fitted scikit-learn IsolationForest."""
        grown = [estimator.tree_ for estimator in forest.estimators_]
        sizes = np.array([tree.node_count for tree in grown])
        roots = np.cumsum(sizes) - sizes
        feature = np.concatenate([tree.feature for tree in grown])
        inner = feature >= 0
        shift = np.repeat(roots, sizes)
        left = np.concatenate([tree.children_left for tree in grown])
        right = np.concatenate([tree.children_right for tree in grown])
        return cls(
            roots=roots,
            feature=np.where(inner, feature, LEAF),
            threshold=float32_below(np.concatenate([tree.threshold for tree in grown])).astype(np.float32),
            left=np.where(inner, left + shift, LEAF),
            right=np.where(inner, right + shift, LEAF),
            rows=np.concatenate([tree.n_node_samples for tree in grown]),
        )

    @cached_property
    def depth(self) -> np.ndarray:
        """[nodes]: 0 at a root."""
        depth = np.zeros(len(self.feature), dtype=np.int64)
        inner = self.feature != LEAF
        level = self.roots[inner[self.roots]]
        while len(level):
            children = np.concatenate([self.left[level], self.right[level]])
            depth[children] = np.tile(depth[level] + 1, 2)
            level = children[inner[children]]
        return depth

    @cached_property
    def lengths(self) -> np.ndarray:
        """float64 [nodes]: how many splits isolate a row in this leaf, those still missing being estimated."""
        # scikit-learn counts the root and takes it off again; so the last bit is the same.
        return (self.depth + 1) + average_path_length(self.rows) - 1.0


def average_path_length(rows: np.ndarray) -> np.ndarray:
    """Splits that isolate one of so many rows, on average over random trees: float64 [n]. Liu 2008, equation 1."""
    rows = np.asarray(rows, dtype=np.float64)
    many = np.maximum(rows, 3.0)
    found = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(rows > 2, found, np.where(rows == 2, 1.0, 0.0))


@dataclass(frozen=True, eq=False)
class IsolationModel:
    """A fitted detector: model columns in, `anomaly_score` (below 0: anomaly) or `anomaly_pred` (-1 or 1) out.

    `samples` is the number of rows that each tree was grown from; `offset` the score, on the scale of the paper
    with its sign turned, below which a row is an anomaly.
    """

    encoder: IsolationEncoder
    trees: Trees
    samples: int
    offset: float

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        numeric: Sequence[str],
        categorical: Sequence[str],
        *,
        trees: int = 200,
        seed: int = 42,
        samples: int | Literal["auto"] = "auto",
        contamination: float | Literal["auto"] = "auto",
    ) -> IsolationModel:
        """Grow `trees` trees, each from `samples` rows ("auto": 256) or from all if there are fewer.

        `contamination` is the share of the rows of `frame` to call anomalies; "auto" leaves it to the paper's 0.5.
        Raises ValueError for fewer than two rows, fewer than two samples, or a share that isn't in (0, 0.5].
        """
        from sklearn.ensemble import IsolationForest

        if len(frame) < 2 or (samples != "auto" and samples < 2):
            raise ValueError("an isolation forest needs at least two rows and two samples a tree")
        if contamination != "auto" and not 0 < contamination <= 0.5:
            raise ValueError(f"contamination is 'auto' or a share in (0, 0.5], not {contamination}")
        encoder = IsolationEncoder.fit(frame, numeric, categorical)
        rows = encoder.code(frame)
        size = min(256 if samples == "auto" else samples, len(frame))
        with one_thread():
            grown = IsolationForest(n_estimators=trees, max_samples=size, random_state=seed).fit(encoder.matrix(rows))
        model = cls(encoder, Trees.of(grown), size, -0.5)
        if contamination == "auto":
            return model
        return replace(model, offset=float(np.percentile(model._raw(rows), 100.0 * contamination)))

    def score(self, frame: pd.DataFrame) -> np.ndarray:
        """`anomaly_score`, float64 [n], as scikit-learn's `decision_function` gives it for the same matrix.

        Raises ValueError naming the columns that the frame lacks.
        """
        return self.score_coded(self.encoder.code(frame))

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """`anomaly_pred`, int64 [n]: -1 for an anomaly, 1 for any other row."""
        return np.where(self.score(frame) < 0, -1, 1)

    def score_coded(self, rows: Coded) -> np.ndarray:
        """`score` of rows that are encoded already."""
        return self._raw(rows) - self.offset

    def _raw(self, rows: Coded) -> np.ndarray:
        """The paper's score with its sign turned: towards -1 for an anomaly, towards 0 for a common row."""
        blocks = [self._scorer.path_lengths(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)]
        return -(2.0 ** (-np.concatenate([np.zeros(0), *blocks]) / self.full_length))

    @property
    def full_length(self) -> float:
        """The sum over all trees of the length that the paper calls neither short nor long."""
        return len(self.trees.roots) * float(average_path_length(np.array(self.samples)))

    @cached_property
    def _scorer(self) -> _Scorer:
        return _Scorer(self.encoder, self.trees)


class _Step(NamedTuple):
    """One split of a tree: `source` names the mask that becomes those of its `left` and `right` child.

    A child that is a leaf adds its mask to the bit planes in `left_planes` or `right_planes`.
    """

    source: int
    split: int
    left: int
    right: int
    left_planes: tuple[int, ...]
    right_planes: tuple[int, ...]


class _Scorer:
    """Path lengths of a block of rows: one bit a row, so that a node costs one AND and one XOR for all of them.

    A tree's distinct leaf lengths are numbered. OR-ing a leaf's mask into the planes of its number's bits gives each
    row the number of its leaf, whose length is looked up at the end.
    """

    def __init__(self, encoder: IsolationEncoder, trees: Trees) -> None:
        feature = trees.feature
        numbers = len(encoder.numeric)
        # Any threshold tells 0 from 1, so all splits at one level are one.
        threshold = np.where(feature < numbers, trees.threshold, np.float32(0))
        kinds, split = np.unique(np.rec.fromarrays([feature, threshold]), return_inverse=True)
        columns, thresholds = kinds["f0"], kinds["f1"]
        self._thresholds = [thresholds[columns == column] for column in range(numbers)]
        levels = [(place, code) for place, names in enumerate(encoder.levels) for code in range(len(names))]
        self._levels = [levels[column - numbers] for column in columns[columns >= numbers]]
        self._slots = 2 * int(trees.depth.max()) + 1
        # Leaves sort before all splits, as one kind, which isn't counted.
        split = split - np.count_nonzero(columns == LEAF)
        ends = [*trees.roots[1:], len(feature)]
        self._programs = [_program(trees, split, root, end) for root, end in zip(trees.roots, ends, strict=True)]

    def path_lengths(self, rows: Coded) -> np.ndarray:
        """Sum of the rows' path lengths over all trees, float64 [n], added in the order of the trees."""
        bits = self._bits(rows)
        words = (len(rows) + 63) // 64
        masks = list(np.empty((self._slots, words), dtype=np.uint64))
        masks[0][:] = ~np.uint64(0)
        total = np.zeros(len(rows))
        for steps, lengths in self._programs:
            planes = list(np.zeros(((len(lengths) - 1).bit_length(), words), dtype=np.uint64))
            for source, split, left, right, left_planes, right_planes in steps:
                np.bitwise_and(masks[source], bits[split], masks[right])
                np.bitwise_xor(masks[source], masks[right], masks[left])
                for plane in left_planes:
                    np.bitwise_or(planes[plane], masks[left], planes[plane])
                for plane in right_planes:
                    np.bitwise_or(planes[plane], masks[right], planes[plane])
            total += lengths.take(_unpacked(planes, len(rows)))
        return total

    def _bits(self, rows: Coded) -> list[np.ndarray]:
        """For each distinct split, the rows that go right: above the threshold, or of the level."""
        found = []
        for column, thresholds in zip(rows.numbers.T, self._thresholds, strict=True):
            # Thresholds between the same two values that occur are one split of these rows.
            ranks = np.searchsorted(np.unique(column), thresholds, side="right")
            _, first, same = np.unique(ranks, return_index=True, return_inverse=True)
            sets = [_packed(column > threshold) for threshold in thresholds[first]]
            found += [sets[place] for place in same]
        return found + [_packed(rows.codes[place] == code) for place, code in self._levels]


def _program(trees: Trees, split: np.ndarray, root: int, end: int) -> tuple[list[_Step], np.ndarray]:
    """One tree's splits, each before those below it, and the length that each leaf number stands for."""
    leaves = root + np.flatnonzero(trees.feature[root:end] == LEAF)
    lengths, which, counts = np.unique(trees.lengths[leaves], return_inverse=True, return_counts=True)
    size = (len(lengths) - 1).bit_length()
    # The commonest length gets 0 and needs no plane, the next ones get the numbers with one bit, and so on.
    numbers = np.array(sorted(range(1 << size), key=lambda number: (number.bit_count(), number))[: len(lengths)])
    numbers[np.argsort(-counts, kind="stable")] = numbers.copy()
    table = np.zeros(1 << size)
    table[numbers] = lengths
    bits = {n: tuple(bit for bit in range(size) if n >> bit & 1) for n in numbers.tolist()}
    planes = {leaf: bits[number] for leaf, number in zip(leaves.tolist(), numbers[which].tolist(), strict=True)}
    steps, waiting = [], [] if root in planes else [(root, 0)]
    while waiting:
        node, source = waiting.pop()
        slot = 2 * int(trees.depth[node]) + 1
        left, right = int(trees.left[node]), int(trees.right[node])
        steps.append(_Step(source, int(split[node]), slot, slot + 1, planes.get(left, ()), planes.get(right, ())))
        waiting += [(child, at) for child, at in ((right, slot + 1), (left, slot)) if child not in planes]
    return steps, table


def _packed(chosen: np.ndarray) -> np.ndarray:
    """A mask [n] as a bit set, uint64 [n / 64, rounded up]."""
    found = np.zeros((len(chosen) + 63) // 64 * 8, dtype=np.uint8)
    packed = np.packbits(chosen, bitorder="little")
    found[: len(packed)] = packed
    return found.view(np.uint64)


def _unpacked(planes: Sequence[np.ndarray], count: int) -> np.ndarray:
    """The numbers [count] whose bits lie in the planes, the lowest first."""
    found = np.zeros(count, dtype=np.min_scalar_type((1 << len(planes)) - 1))
    for place, plane in enumerate(planes):
        found |= np.unpackbits(plane.view(np.uint8), count=count, bitorder="little").astype(found.dtype) << place
    return found
