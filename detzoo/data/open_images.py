"""What Open Images knows beside boxes (https://arxiv.org/abs/1811.00982)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from detzoo.data.annotations import LabelLists
from detzoo.errors import DataError
from detzoo.values import Json


@dataclass(frozen=True)
class OpenImagesLabels:
    """The classes that were verified in each image, and the hierarchy of classes.

    ``verified`` holds, per image, the classes whose presence or absence people have verified
    (image-level labels), besides those of its boxes. ``ancestors`` holds, per class, those above it
    in the hierarchy: every object is one of these, too.
    """

    verified: LabelLists
    ancestors: LabelLists

    def take(self, images: Tensor) -> OpenImagesLabels:
        return OpenImagesLabels(self.verified.take(images), self.ancestors)

    def relabeled(self, new_label: Tensor, num_classes: int) -> OpenImagesLabels:
        """Replaces label ``k`` by ``new_label[k]``; negative: removed. New classes are no one's
        ancestors."""
        kept = self.ancestors.relabeled(new_label)
        ancestors: list[list[int]] = [[] for _ in range(num_classes)]
        for old, new in enumerate(new_label.tolist()):
            if new >= 0:
                ancestors[new] = kept[old]
        return OpenImagesLabels(self.verified.relabeled(new_label), LabelLists.of(ancestors))

    @classmethod
    def join(cls, parts: Sequence[OpenImagesLabels]) -> OpenImagesLabels:
        """The images of one after those of the other, with the ancestors that any of them knows."""
        verified = LabelLists.join([part.verified for part in parts])
        classes = range(len(parts[0].ancestors))
        ancestors = [sorted({a for part in parts for a in part.ancestors[c]}) for c in classes]
        return cls(verified, LabelLists.of(ancestors))


def read_ancestors(hierarchy: Json, label_of: Mapping[str, int], source: str) -> LabelLists:
    """The ancestors of each class, of a file such as ``bbox_labels_600_hierarchy.json``.

    Each node has a ``LabelName``, and in ``Subcategory`` the nodes below it. A class may be at
    several places. The root, and classes that ``label_of`` does not know, are nobody's ancestors;
    a ``Part`` is none of its whole. Raises :class:`DataError`.
    """
    found: list[set[int]] = [set() for _ in label_of]
    nodes: list[tuple[Json, frozenset[int]]] = [(hierarchy, frozenset())]
    while nodes:
        node, above = nodes.pop()
        children = node.get("Subcategory", []) if isinstance(node, dict) else None
        if not isinstance(children, list):
            raise DataError(
                f"{source}: is no hierarchy of classes: its nodes must be objects with LabelName "
                f"and a list Subcategory, and one is {node!r:.60}."
            )
        for child in children:
            name = child.get("LabelName") if isinstance(child, dict) else None
            label = label_of.get(name) if isinstance(name, str) else None
            if label is None:
                nodes.append((child, above))
            else:
                found[label] |= above - {label}
                nodes.append((child, above | {label}))
    return LabelLists.of([sorted(labels) for labels in found])
