"""What is imported from V2's files equals the zoo: two readings of each configuration."""

from __future__ import annotations

import pytest

from detzoo import zoo
from detzoo.config import diff
from detzoo.errors import ConfigError
from detzoo.mmdet import read_experiment
from detzoo.zoo.entry import Entry
from tests.mmdet.published import published_configs

# Published files that contradict themselves, so that V2 itself refuses them, and how.
_TWICE = "pretrained: .* contradicts model.backbone.init_cfg.checkpoint"
CONTRADICTORY = {
    "retinanet_r101_caffe_fpn_mstrain_3x_coco": _TWICE,
    "retinanet_r101_fpn_mstrain_640-800_3x_coco": _TWICE,
    "retinanet_x101_64x4d_fpn_mstrain_640-800_3x_coco": _TWICE,
    # A Faster R-CNN with the head of a RetinaNet beside its own.
    "retinanet_r50_fpn_syncbn_1350k_obj365v1": "num_classes: 80 is not 365",
    # A setting that V2's LoadAnnotations does not have.
    "ssd300_32x8_36e_openimages": "normed_bbox: is no setting",
}
# RF-Next's files for HRNets of width 18, as their names, their weights and their figures say, build
# those of width 32, and in one the hook has no type.
_RFNEXT = "rfnext_{}_cascade_mask_rcnn_hrnetv2p_w18_20e_coco"
CONTRADICTORY[_RFNEXT.format("fixed_multi_branch")] = r"custom_hooks\[0\].type: missing"
OF_ANOTHER_WIDTH = {_RFNEXT.format("search"), _RFNEXT.format("fixed_single_branch")}
# detzoo's own; V2 has no such files.
OWN_FAMILIES = {"light"}

PUBLISHED = [
    pytest.param(f"{family.folder}/{entry.name}.py", entry, id=entry.name)
    for family in zoo.families()
    if family.folder not in OWN_FAMILIES
    for entry in family.entries
]


@pytest.mark.parametrize(("file", "entry"), PUBLISHED)
def test_the_imported_configuration_is_the_entry(file: str, entry: Entry) -> None:
    path = published_configs() / file
    if entry.name in CONTRADICTORY:
        with pytest.raises(ConfigError, match=CONTRADICTORY[entry.name]):
            read_experiment(path)
    else:
        wanted = [("model.backbone.width", 32, 18)] if entry.name in OF_ANOTHER_WIDTH else []
        assert diff(read_experiment(path), entry.experiment) == wanted


def test_every_contradictory_file_is_an_entry() -> None:
    assert CONTRADICTORY.keys() <= {entry.name for entry in zoo.entries()}
