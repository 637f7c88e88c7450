"""Detectron2, where it is installed: its standard configurations with our settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.side_by_side.side import Side
from benchmarks.side_by_side.task import Task

CONFIGURATIONS = {
    "faster_rcnn": "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml",
    "mask_rcnn": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
    "retinanet": "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
}


class Detectron2(Side):
    toolbox = "Detectron2"

    @classmethod
    def make(cls, task: Task) -> Detectron2 | None:
        from detectron2 import model_zoo
        from detectron2.modeling import build_model

        if task.model not in CONFIGURATIONS:
            return None
        pixels = task.config.input_pixels
        # Detectron2 sees BGR, as images are read; our models see what their backbone was used to.
        backwards = slice(None, None, -1 if pixels.order == "rgb" else 1)
        settings = model_zoo.get_config(CONFIGURATIONS[task.model])
        settings.MODEL.DEVICE = str(task.device)
        settings.MODEL.RESNETS.STRIDE_IN_1X1 = False
        settings.MODEL.PIXEL_MEAN = list(pixels.mean)[backwards]
        settings.MODEL.PIXEL_STD = list(pixels.std)[backwards]
        settings.INPUT.MASK_FORMAT = "bitmask"
        model = build_model(settings)
        _map_weights(task.weights, model, swap=pixels.order == "rgb")
        return cls(task, model)

    def infer(self) -> int:
        found = self.model(self._images()[: self.task.num_seen])
        return sum(len(image["instances"]) for image in found)

    def loss(self) -> Tensor:
        from detectron2.utils.events import EventStorage

        with EventStorage(0):
            losses = self.model(self._images(with_targets=True))
        return torch.stack(list(losses.values())).sum()

    def _images(self, *, with_targets: bool = False) -> list[dict[str, Any]]:
        from detectron2.structures import BitMasks, Boxes, Instances

        height, width = self.task.size
        out = []
        task = self.task
        for pixels, target, masks in zip(task.batch.pixels, task.targets, task.bitmaps):
            own: dict[str, Any] = {"image": pixels.permute(2, 0, 1)}
            own |= {"height": height, "width": width}
            if with_targets:
                objects = Instances((height, width))
                objects.gt_boxes = Boxes(target.boxes)
                objects.gt_classes = target.labels
                if self.task.model == "mask_rcnn":
                    objects.gt_masks = BitMasks(masks.bool())
                own["instances"] = objects
            out.append(own)
        return out


@torch.no_grad()
def _map_weights(weights: Mapping[str, Tensor], model: nn.Module, *, swap: bool) -> None:
    """Our weights in Detectron2's model; ``swap`` turns kernels of RGB into those of BGR."""
    # Levels are called by the logarithm of their stride.
    finest = 2 if any(key.startswith("backbone.fpn_output2") for key in model.state_dict()) else 3
    for key, value in model.state_dict().items():
        if "anchor" in key and "deltas" not in key:
            continue  # the anchors themselves
        name = _our_name(key, finest)
        new = weights[name].to(value.device)
        if name == "backbone.conv1.weight" and swap:
            new = new.flip(1)
        if name.startswith(("bbox_head.retina_cls", "bbox_head.retina_reg")):
            # Of a cell's nine anchors we go through the sizes first, Detectron2 through the ratios.
            new = new.reshape(3, 3, -1, *new.shape[1:]).transpose(0, 1).reshape(value.shape)
        assert new.shape == value.shape, key
        value.copy_(new)


_NAMES = {
    "proposal_generator.rpn_head.conv": "rpn_head.rpn_conv",
    "proposal_generator.rpn_head.objectness_logits": "rpn_head.rpn_cls",
    "proposal_generator.rpn_head.anchor_deltas": "rpn_head.rpn_reg",
    "roi_heads.box_head.fc1": "roi_head.bbox_head.shared_fcs.0",
    "roi_heads.box_head.fc2": "roi_head.bbox_head.shared_fcs.1",
    "roi_heads.box_predictor.cls_score": "roi_head.bbox_head.fc_cls",
    "roi_heads.box_predictor.bbox_pred": "roi_head.bbox_head.fc_reg",
    "roi_heads.mask_head.deconv": "roi_head.mask_head.upsample",
    "roi_heads.mask_head.predictor": "roi_head.mask_head.conv_logits",
    "head.cls_score": "bbox_head.retina_cls",
    "head.bbox_pred": "bbox_head.retina_reg",
    "backbone.bottom_up.stem.conv1": "backbone.conv1",
    "backbone.bottom_up.stem.conv1.norm": "backbone.bn1",
}


def _our_name(key: str, finest: int) -> str:
    stem, leaf = key.rsplit(".", 1)
    parts = key.split(".")
    if stem in _NAMES:
        return f"{_NAMES[stem]}.{leaf}"
    if key.startswith("backbone.bottom_up.res"):
        block = f"backbone.layer{int(parts[2][3:]) - 1}.{parts[3]}"
        is_norm = parts[-2] == "norm"
        if parts[4] == "shortcut":
            return f"{block}.downsample.{int(is_norm)}.{leaf}"
        return f"{block}.{'bn' if is_norm else 'conv'}{parts[4][4:]}.{leaf}"
    if key.startswith("backbone.top_block."):
        return f"neck.fpn_convs.{ {'p6': 3, 'p7': 4}[parts[2]] }.conv.{leaf}"
    if key.startswith("backbone.fpn_"):
        kind, level = parts[1][:-1], int(parts[1][-1]) - finest
        ours = {"fpn_lateral": "lateral_convs", "fpn_output": "fpn_convs"}[kind]
        return f"neck.{ours}.{level}.conv.{leaf}"
    if key.startswith("roi_heads.mask_head.mask_fcn"):
        return f"roi_head.mask_head.convs.{int(parts[2][8:]) - 1}.conv.{leaf}"
    tower = {"cls_subnet": "cls_convs", "bbox_subnet": "reg_convs"}[parts[1]]
    return f"bbox_head.{tower}.{int(parts[2]) // 2}.conv.{leaf}"
