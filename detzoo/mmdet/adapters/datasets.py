"""Data sets: their class names and how they are passed over; where they lie is said elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from detzoo.experiment import Metric
from detzoo.mmdet.node import Node, Refusal
from detzoo.mmdet.registry import ADAPTERS, adapts
from detzoo.zoo import classes


@dataclass(frozen=True)
class DataSource:
    """What a data set says beside its pipeline, which is in ``pipeline``.

    ``class_names`` are those of ``classes=`` (``names_are_given``), or else of the type of the data
    set; None where nothing says them. Panoptic data name their things first, then their stuff.
    """

    class_names: tuple[str, ...] | None
    names_are_given: bool
    pipeline: list[Node]
    skip_empty: bool = True
    repeats: int = 1
    oversample_threshold: float | None = None
    min_object_size: float = 0.0
    learns_crowds: bool = False
    metric: Metric | None = None


def read_dataset(node: Node) -> DataSource:
    """The data set at ``node``, whose type may be a class of the user's own."""
    if node.type in ADAPTERS["dataset"]:
        source: DataSource = node.adapt("dataset")
        return source
    return _own(node)


def read_datasets(node: Node, key: str) -> DataSource:
    """The first of the data sets at ``key``; how several are joined is said where a run starts."""
    first, *others = node.children(key)
    for other in others:
        other.left.clear()
        other.reading.replaced[other.path] = "give all data sets with --data"
    return read_dataset(first)


@adapts("dataset", "CocoDataset")
def coco(node: Node) -> DataSource:
    return _plain(node, classes.COCO)


@adapts("dataset", "CocoPanopticDataset")
def coco_panoptic(node: Node) -> DataSource:
    node.ignore("ins_ann_file")
    return _plain(node, (*classes.COCO, *classes.COCO_STUFF))


@adapts("dataset", "OccludedSeparatedCocoDataset")
def occluded_coco(node: Node) -> DataSource:
    """COCO, of which V2 also counts the recall of occluded and of separated objects."""
    for key in ("occluded_ann", "separated_ann", "score_thr", "iou_thr", "metric"):
        node.leave(key, "detzoo evaluate --recall-of measures occluded and separated objects")
    return coco(node)


@adapts("dataset", "LVISV1Dataset", "LVISDataset")
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


@adapts("dataset", "OpenImagesDataset")
def open_images(node: Node) -> DataSource:
    return _open_images(node, classes.OPEN_IMAGES_V6)


@adapts("dataset", "OpenImagesChallengeDataset")
def open_images_challenge(node: Node) -> DataSource:
    return _open_images(node, classes.OPEN_IMAGES_CHALLENGE)


def _open_images(node: Node, names: tuple[str, ...]) -> DataSource:
    node.ignore("label_file", "hierarchy_file", "meta_file", "image_level_ann_file")
    return replace(_plain(node, names), learns_crowds=True)


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


@adapts("dataset", "XMLDataset")
def xml(node: Node) -> DataSource:
    """V2's base of all that lies in Pascal VOC's files; it names no classes itself."""
    return _xml(node, None, "voc")


@adapts("dataset", "CustomDataset")
def custom(node: Node) -> DataSource:
    """V2's base of all data sets, which reads files of its own form."""
    return _plain(node, None)


# The data sets of V2 that a user's own are made of, and what reads them.
BASES = {
    "CocoDataset": coco,
    "CocoPanopticDataset": coco_panoptic,
    "CityscapesDataset": cityscapes,
    "LVISV1Dataset": lvis,
    "VOCDataset": voc,
    "WIDERFaceDataset": wider_face,
    "XMLDataset": xml,
    "CustomDataset": custom,
}


def _own(node: Node) -> DataSource:
    """A class of the user's: its names are read from its source, its files by their format."""
    found = node.reading.find_dataset(node.type)
    if found is None:
        node.reading.replaced[node.at("type")] = (
            f"{node.type} is a class of your own: data are read by the format of their files"
        )
        return _plain(node, None)
    code = "; its code is not run: data are read by the format of their files"
    node.reading.replaced[node.at("type")] = (
        f"{node.type} is a {found.base} whose class names are those in {found.file}"
        f"{code if found.has_code else ''}"
    )
    source = BASES[found.base](node)
    own = source if source.names_are_given else replace(source, class_names=found.class_names)
    # A subclass does not have the eleven points of Pascal VOC's own years.
    return replace(own, metric="voc") if own.metric is not None else own


def _plain(node: Node, names: tuple[str, ...] | None) -> DataSource:
    node.ignore("ann_file", "img_prefix", "data_root", "seg_prefix", "proposal_file", "test_mode")
    given = node.take("classes", None)
    if isinstance(given, str):
        given = _names_in(given, node)
    elif given is not None and not _are_names(given):
        reason = f"{given!r:.60} is neither a list of names nor a file of them"
        node.reading.note(Refusal(node.reading.source, node.at("classes"), reason, use="train"))
        given = None
    return DataSource(
        class_names=names if given is None else given,
        names_are_given=given is not None,
        pipeline=node.children("pipeline"),
        skip_empty=node.take("filter_empty_gt", True),
    )


def _are_names(given: object) -> bool:
    return isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)


def _names_in(file: str, node: Node) -> tuple[str, ...] | None:
    """The class names in a text file, one a line; None where there is no such file."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        node.reading.replaced[node.at("classes")] = f"{file} cannot be read: the data name them"
        return None
    return tuple(line.strip() for line in lines if line.strip())


def _xml(node: Node, names: tuple[str, ...] | None, metric: Metric) -> DataSource:
    """Data in Pascal VOC's files, which V2 measures by its metric."""
    size = node.take("min_size", None)
    source = _plain(node, names)
    return replace(source, min_object_size=float(size or 0), metric=metric)


_OF_THE_INNER = (
    *("ann_file", "img_prefix", "data_root", "seg_prefix", "proposal_file", "test_mode"),
    *("classes", "filter_empty_gt", "pipeline"),
)


def _inside(node: Node, key: str) -> DataSource:
    """What is wrapped; V2 looks at no settings beside it, such as those of a base file."""
    for other in _OF_THE_INNER:
        node.leave(other, "V2 looks at those of the data sets inside")
    return read_datasets(node, key)


@adapts("dataset", "RepeatDataset")
def repeated(node: Node) -> DataSource:
    inner = _inside(node, "dataset")
    return replace(inner, repeats=inner.repeats * node.take("times"))


@adapts("dataset", "ConcatDataset")
def concatenated(node: Node) -> DataSource:
    node.expect("separate_eval", True, "as data sets are scored together")
    return _inside(node, "datasets")


@adapts("dataset", "MultiImageMixDataset")
def mixed(node: Node) -> DataSource:
    """MultiImageMixDataset: the steps after loading, some of which mix several images."""
    inner = read_datasets(node, "dataset")
    node.expect("dynamic_scale", None, "as batches are scaled instead")
    node.expect("skip_type_keys", None, "as YOLOXModeSwitchHook says what is skipped when")
    return replace(inner, pipeline=[*inner.pipeline, *node.children("pipeline")])


@adapts("dataset", "ClassBalancedDataset")
def class_balanced(node: Node) -> DataSource:
    inner = _inside(node, "dataset")
    return replace(inner, oversample_threshold=node.take("oversample_thr"))
