"""torchvision's own models, with our numbers of proposals and sampling ratio."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models import detection, resnet50
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

from benchmarks.side_by_side.side import Side
from benchmarks.side_by_side.task import NUM_CLASSES, Task

DENSE = ("retinanet", "fcos")


class Torchvision(Side):
    toolbox = "torchvision"

    @classmethod
    def make(cls, task: Task) -> Torchvision | None:
        if task.model not in ("faster_rcnn", "mask_rcnn", "retinanet", "fcos"):
            return None
        model = _model(task.model, *task.size)
        _map_weights(task.weights, model)
        return cls(task, model)

    def infer(self) -> int:
        found = self.model(self._images()[: self.task.num_seen])
        return sum(len(image["boxes"]) for image in found)

    def loss(self) -> Tensor:
        losses = self.model(self._images(), self._targets())
        return torch.stack(list(losses.values())).sum()

    def _images(self) -> list[Tensor]:
        """RGB from 0 to 1."""
        raw = self.task.batch.pixels.to(self.task.device)
        return [image.permute(2, 0, 1).flip(0) / 255 for image in raw]

    def _targets(self) -> list[dict[str, Tensor]]:
        first_label = 0 if self.task.model in DENSE else 1
        out = []
        for target, masks in zip(self.task.targets, self.task.bitmaps):
            labels = target.labels + first_label
            out.append({"boxes": target.boxes, "labels": labels, "masks": masks})
        return out


def _model(name: str, height: int, width: int) -> nn.Module:
    sizes = {"min_size": min(height, width), "max_size": max(height, width)}
    extra = LastLevelP6P7(2048 if name == "retinanet" else 256, 256) if name in DENSE else None
    layers = [2, 3, 4] if name in DENSE else [1, 2, 3, 4]
    body = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    backbone = _resnet_fpn_extractor(body, 3, returned_layers=layers, extra_blocks=extra)
    if name == "retinanet":
        return detection.RetinaNet(backbone, NUM_CLASSES, detections_per_img=100, **sizes)
    if name == "fcos":
        # Candidates by the root of class times centerness, which is about a half; ours by class.
        return detection.FCOS(
            backbone,
            NUM_CLASSES,
            score_thresh=(0.05 * 0.5) ** 0.5,
            nms_thresh=0.5,
            detections_per_img=100,
            **sizes,
        )
    settings = {
        "box_roi_pool": MultiScaleRoIAlign(["0", "1", "2", "3"], 7, sampling_ratio=0),
        "rpn_anchor_generator": AnchorGenerator(
            ((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5
        ),
        # As our entries: 2000 per level and 1000 in all in training, 1000 in evaluation.
        "rpn_post_nms_top_n_train": 1000,
        **sizes,
    }
    if name == "faster_rcnn":
        return detection.FasterRCNN(backbone, NUM_CLASSES + 1, **settings)
    mask_pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 14, sampling_ratio=0)
    return detection.MaskRCNN(backbone, NUM_CLASSES + 1, mask_roi_pool=mask_pool, **settings)


@torch.no_grad()
def _map_weights(weights: Mapping[str, Tensor], model: nn.Module) -> None:
    """Our weights in torchvision's model; its background is the first class, ours the last."""
    is_fcos = isinstance(model, detection.FCOS)
    names = _NAMES | _NAMES_OF_FCOS if is_fcos else _NAMES
    for key, value in model.state_dict().items():
        name = _our_name(key, names)
        if is_fcos and name.endswith(".conv.bias") and name not in weights:
            value.zero_()  # before a norm
            continue
        new = weights[name].to(value.device)
        if key.startswith("roi_heads.box_predictor.cls_score"):
            new = torch.cat([new[-1:], new[:-1]])
        elif key.startswith("roi_heads.box_predictor.bbox_pred"):
            new = torch.cat([torch.zeros_like(new[:4]), new])
        elif "mask_fcn_logits" in key:
            new = torch.cat([torch.zeros_like(new[:1]), new])
        assert new.shape == value.shape, key
        value.copy_(new)


_NAMES = {
    "rpn.head.conv.0.0": "rpn_head.rpn_conv",
    "rpn.head.cls_logits": "rpn_head.rpn_cls",
    "rpn.head.bbox_pred": "rpn_head.rpn_reg",
    "roi_heads.box_head.fc6": "roi_head.bbox_head.shared_fcs.0",
    "roi_heads.box_head.fc7": "roi_head.bbox_head.shared_fcs.1",
    "roi_heads.box_predictor.cls_score": "roi_head.bbox_head.fc_cls",
    "roi_heads.box_predictor.bbox_pred": "roi_head.bbox_head.fc_reg",
    "roi_heads.mask_predictor.conv5_mask": "roi_head.mask_head.upsample",
    "roi_heads.mask_predictor.mask_fcn_logits": "roi_head.mask_head.conv_logits",
    "head.classification_head.cls_logits": "bbox_head.retina_cls",
    "head.regression_head.bbox_reg": "bbox_head.retina_reg",
}
_NAMES_OF_FCOS = {
    "head.classification_head.cls_logits": "bbox_head.conv_cls",
    "head.regression_head.bbox_reg": "bbox_head.conv_reg",
    "head.regression_head.bbox_ctrness": "bbox_head.conv_centerness",
}


def _our_name(key: str, names: Mapping[str, str]) -> str:
    parts = key.split(".")
    stem, leaf = key.rsplit(".", 1)
    if stem in names:
        return f"{names[stem]}.{leaf}"
    if key.startswith("backbone.body."):
        return "backbone." + ".".join(parts[2:])
    if key.startswith("backbone.fpn."):
        kind = {"inner_blocks": "lateral_convs", "layer_blocks": "fpn_convs"}.get(parts[2])
        if kind is None:
            return f"neck.fpn_convs.{ {'p6': 3, 'p7': 4}[parts[3]] }.conv.{leaf}"
        return f"neck.{kind}.{parts[3]}.conv.{leaf}"
    if key.startswith("roi_heads.mask_head."):
        return f"roi_head.mask_head.convs.{parts[2]}.conv.{leaf}"
    tower = {"classification_head": "cls_convs", "regression_head": "reg_convs"}[parts[1]]
    if len(parts) == 6:
        return f"bbox_head.{tower}.{parts[3]}.conv.{leaf}"
    # FCOS: convolution, norm, activation, and so on.
    number, place = divmod(int(parts[3]), 3)
    return f"bbox_head.{tower}.{number}.{('conv', 'gn')[place]}.{leaf}"
