"""Data sets: their class names and how they are passed over; where they lie is said elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

from detzoo.experiment import Metric
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.zoo import classes


@dataclass(frozen=True)
class DataSource:
    """What ``data.train`` says beside its pipeline, which is in ``pipeline``."""

    class_names: tuple[str, ...]
    pipeline: list[Node]
    skip_empty: bool = True
    repeats: int = 1
    oversample_threshold: float | None = None
    min_object_size: float = 0.0
    metric: Metric | None = None


@adapts("dataset", "CocoDataset")
def coco(node: Node) -> DataSource:
    return _plain(node, classes.COCO)


@adapts("dataset", "LVISV1Dataset")
def lvis(node: Node) -> DataSource:
    return _plain(node, classes.LVIS_V1)


@adapts("dataset", "LVISV05Dataset")
def lvis_v05(node: Node) -> DataSource:
    return _plain(node, classes.LVIS_V05)


@adapts("dataset", "Objects365V1Dataset")
def objects365_v1(node: Node) -> DataSource:
    return _plain(node, classes.OBJECTS365_V1)


@adapts("dataset", "Objects365V2Dataset")
def objects365_v2(node: Node) -> DataSource:
    return _plain(node, classes.OBJECTS365_V2)


@adapts("dataset", "DeepFashionDataset")
def deepfashion(node: Node) -> DataSource:
    return _plain(node, classes.DEEPFASHION)


@adapts("dataset", "CityscapesDataset")
def cityscapes(node: Node) -> DataSource:
    return _plain(node, classes.CITYSCAPES)


@adapts("dataset", "VOCDataset")
def voc(node: Node) -> DataSource:
    return _xml(node, classes.VOC, "voc07")


@adapts("dataset", "WIDERFaceDataset")
def wider_face(node: Node) -> DataSource:
    return _xml(node, classes.WIDER_FACE, "voc")


def _plain(node: Node, names: tuple[str, ...]) -> DataSource:
    node.ignore("ann_file", "img_prefix", "data_root", "seg_prefix", "proposal_file")
    node.expect("test_mode", False, "as the use of a data set says whether it is a test")
    own = node.take("classes", None)
    if isinstance(own, str):
        raise node.error("classes", f"{own!r}: list the class names themselves: ('cat', 'dog')")
    return DataSource(
        class_names=names if own is None else own,
        pipeline=node.children("pipeline"),
        skip_empty=node.take("filter_empty_gt", True),
    )


def _xml(node: Node, names: tuple[str, ...], metric: Metric) -> DataSource:
    """Data in Pascal VOC's files, which V2 measures by its metric."""
    size = node.take("min_size", None)
    source = _plain(node, names)
    return replace(source, min_object_size=float(size or 0), metric=metric)


@adapts("dataset", "RepeatDataset")
def repeated(node: Node) -> DataSource:
    inner: DataSource = node.part("dataset", "dataset")
    return replace(inner, repeats=inner.repeats * node.take("times"))


@adapts("dataset", "MultiImageMixDataset")
def mixed(node: Node) -> DataSource:
    """MultiImageMixDataset: the steps after loading, some of which mix several images."""
    inner: DataSource = node.part("dataset", "dataset")
    node.expect("dynamic_scale", None, "as batches are scaled instead")
    node.expect("skip_type_keys", None, "as YOLOXModeSwitchHook says what is skipped when")
    return replace(inner, pipeline=[*inner.pipeline, *node.children("pipeline")])


@adapts("dataset", "ClassBalancedDataset")
def class_balanced(node: Node) -> DataSource:
    inner: DataSource = node.part("dataset", "dataset")
    node.expect("filter_empty_gt", True, "as images without objects are never repeated")
    return replace(inner, oversample_threshold=node.take("oversample_thr"))
