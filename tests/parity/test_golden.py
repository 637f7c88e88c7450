"""One reference of each model type, kept in the repository, and those in float64."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo import zoo
from tests.marks import ON_CI
from tests.parity.check import check_names, check_numbers
from tests.parity.compare import Finding
from tests.parity.reference import Reference

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.npz"))
IN_DOUBLE = sorted((Path(__file__).parent.parent / "golden" / "float64").glob("*.npz"))

# What takes long (8 s and more, each), or memory: a layer of 100 million parameters, 600 queries in
# six stages, masks of 1203 classes. CI runs them after the others.
HEAVY = {
    "faster_rcnn__faster_rcnn_r50_caffe_dc5_1x_coco",
    "queryinst__queryinst_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
    "seesaw_loss__mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1",
    "carafe__mask_rcnn_r50_fpn_carafe_1x_coco",
    "cascade_rcnn__cascade_mask_rcnn_r50_fpn_1x_coco",
    "cascade_rpn__crpn_r50_caffe_fpn_1x_coco",
    "deformable_detr__deformable_detr_refine_r50_16x2_50e_coco",
    "detectors__cascade_rcnn_r50_rfp_1x_coco",
    "fcos__fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco",
    "fpg__retinanet_r50_fpg-chn128_crop640_50e_coco",
    "free_anchor__retinanet_free_anchor_r50_fpn_1x_coco",
    "gfl__gfl_r101_fpn_mstrain_2x_coco",
    "ghm__retinanet_ghm_r50_fpn_1x_coco",
    "grid_rcnn__grid_rcnn_r50_fpn_gn-head_1x_coco",
    "groie__mask_rcnn_r50_fpn_groie_1x_coco",
    "guided_anchoring__ga_faster_r50_fpn_1x_coco",
    "guided_anchoring__ga_retinanet_r50_fpn_1x_coco",
    "htc__htc_r50_fpn_1x_coco",
    "libra_rcnn__libra_faster_rcnn_r101_fpn_1x_coco",
    "ms_rcnn__ms_rcnn_r50_caffe_fpn_1x_coco",
    "nas_fpn__retinanet_r50_fpn_crop640_50e_coco",
    "paa__paa_r50_fpn_1.5x_coco",
    "pisa__pisa_retinanet_r50_fpn_1x_coco",
    "point_rend__point_rend_r50_caffe_fpn_mstrain_1x_coco",
    "reppoints__bbox_r50_grid_center_fpn_gn-neck+head_1x_coco",
    "reppoints__reppoints_moment_r50_fpn_gn-neck+head_1x_coco",
    "sabl__sabl_faster_rcnn_r50_fpn_1x_coco",
    "sabl__sabl_retinanet_r50_fpn_1x_coco",
    "solo__decoupled_solo_light_r50_fpn_3x_coco",
    "solo__decoupled_solo_r50_fpn_1x_coco",
    "solov2__solov2_light_r18_fpn_3x_coco",
    "sparse_rcnn__sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
    "tood__tood_r50_fpn_anchor_based_1x_coco",
    "vfnet__vfnet_r50_fpn_1x_coco",
    "yolact__yolact_r101_1x8_coco",
}
MARKED = [
    pytest.param(path, id=path.stem, marks=ON_CI if path.stem in HEAVY else ()) for path in GOLDEN
]


def _failures(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.passed]


@pytest.mark.parametrize("path", MARKED)
def test_numbers_are_those_of_mmdetection(path: Path) -> None:
    reference = Reference.read(path)
    experiment = zoo.find(reference.entry_name).experiment
    findings = [check_names(experiment, reference), *check_numbers(experiment, reference)]
    compared = {"backbone", "features", "detections"}
    if "loss_error" not in reference:
        compared |= {"losses", "gradients"}
    assert compared <= {finding.what for finding in findings}
    assert not _failures(findings)


@pytest.mark.slow
@pytest.mark.parametrize("path", IN_DOUBLE, ids=lambda path: path.stem)
def test_numbers_in_float64(path: Path) -> None:
    """Far closer than float32 could be: no tie, no rounding hides a difference."""
    reference = Reference.read(path)
    assert reference.is_double
    findings = check_numbers(zoo.find(reference.entry_name).experiment, reference)
    assert {"losses", "gradients"} <= {finding.what for finding in findings}
    assert not _failures(findings)
    exact = [f for f in findings if f.what in ("losses", "gradients")]
    assert max(finding.deviation for finding in exact) < 1e-6
