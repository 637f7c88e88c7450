"""Detectors of the zoo in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch

from detzoo.export.onnx import export_onnx
from detzoo.export.static import StaticDetector
from detzoo.zoo.entry import Entry
from tests.detectors.zoo_models import build, certain, images, one_per_head
from tests.export.test_static import distinct, order, sizes_of

# One per kind of detector and suppression, and one with deformable convolutions.
NAMES = (
    "atss_r50_fpn_1x_coco",
    "yolox_nano_8x8_300e_coco",
    "centernet_resnet18_140e_coco",
    "faster_rcnn_r50_fpn_carafe_1x_coco",
    "mask_rcnn_mobilenetv2_fpn",
    "htc_hrnetv2p_w18_20e_coco",
    "reppoints_moment_r50_fpn_1x_coco",
    "detr_r50_8x2_150e_coco",
    "queryinst_r50_fpn_1x_coco",
)
ENTRIES = [pytest.param(e, id=e.name) for e in one_per_head() if e.name in NAMES]


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_same_detections(entry: Entry, tmp_path: Path) -> None:
    model, batch = distinct(certain(build(entry))), images(2)
    static = StaticDetector(model)
    sizes = sizes_of(batch)
    height, width = batch.pixels.shape[2:]
    export_onnx(static, tmp_path / "model.onnx", (height, width), 2, {})
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = {"pixels": batch.pixels.contiguous().numpy(), "sizes": sizes.numpy()}
    names = [one.name for one in session.get_inputs()]
    outputs = session.run(None, {name: inputs[name] for name in names})
    boxes, scores, labels, num, *masks = map(torch.from_numpy, outputs)
    with torch.no_grad():
        expected = static(batch.pixels, sizes)
    assert torch.equal(num, expected.num)
    for image, count in enumerate(num.tolist()):
        ours = order(boxes[image, :count], scores[image, :count])
        theirs = order(expected.boxes[image, :count], expected.scores[image, :count])
        close = {"rtol": 1e-4, "atol": 1e-4}
        torch.testing.assert_close(scores[image, ours], expected.scores[image, theirs], **close)
        torch.testing.assert_close(
            boxes[image, ours], expected.boxes[image, theirs], rtol=0, atol=1e-2
        )
        assert torch.equal(labels[image, ours], expected.labels[image, theirs])
        if masks:
            own, wanted = masks[0][image, ours], expected.masks[image, theirs]
            torch.testing.assert_close(own, wanted, rtol=0, atol=1e-3)
