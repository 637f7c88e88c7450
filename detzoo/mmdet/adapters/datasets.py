"""Data sets: their class names and how they are passed over; where they lie is said elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

from detzoo.mmdet.node import Node
from detzoo.zoo import classes


@dataclass(frozen=True)
class DataSource:
    """What ``data.train`` says beside its pipeline, which is in ``pipeline``."""

    class_names: tuple[str, ...]
    pipeline: list[Node]
    skip_empty: bool = True
    repeats: int = 1


def coco(node: Node) -> DataSource:
    return _plain(node, classes.COCO)


def _plain(node: Node, names: tuple[str, ...]) -> DataSource:
    node.ignore("ann_file", "img_prefix", "data_root", "seg_prefix")
    node.expect("test_mode", False, "as the use of a data set says whether it is a test")
    node.expect("proposal_file", None, "as proposals are given where a run starts")
    own = node.take("classes", None)
    if isinstance(own, str):
        raise node.error("classes", f"{own!r}: list the class names themselves: ('cat', 'dog')")
    return DataSource(
        class_names=names if own is None else own,
        pipeline=node.children("pipeline"),
        skip_empty=node.take("filter_empty_gt", True),
    )


def repeated(node: Node) -> DataSource:
    inner: DataSource = node.part("dataset", "dataset")
    return replace(inner, repeats=inner.repeats * node.take("times"))
