"""Weights of MMDetection 1.x in the layout of 2.28.2.

There, the background was the first class of every head with a softmax, box and mask heads had
outputs for it that nothing was trained on, and the heads of regions stood beside the RPN. What
anchors and boxes meant differs as well: the models of ``zoo/legacy.py`` compute as 1.x did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from detzoo.errors import CheckpointError

# Parts that became those of a RoI head.
_OF_REGIONS = re.compile(
    r"(bbox_head|mask_head|mask_iou_head|grid_head|semantic_head|shared_head"
    r"|bbox_roi_extractor|mask_roi_extractor)\."
)
_ROWS = re.compile(r"\.(fc_cls|fc_reg|conv_logits|fc_mask_iou)\.(weight|bias)$")
_SSD = re.compile(r"bbox_head\.cls_convs\.\d+\.(weight|bias)$")


def upgraded(
    tensors: Mapping[str, Tensor], class_names: tuple[str, ...] | None, source: str
) -> dict[str, Tensor]:
    """``tensors`` of 1.x as 2.0 lays them out.

    ``class_names`` are those that the checkpoint was trained on. Raises :class:`CheckpointError`
    where the number of classes is not known and needed.
    """
    if any(name.startswith("roi_head.") for name in tensors):
        return dict(tensors)  # of the development version of 2.0, which called itself 1.x
    has_regions = any(".fc_cls." in name for name in tensors)
    is_ssd = "backbone.l2_norm.weight" in tensors
    is_plain_retina = "bbox_head.retina_cls.weight" in tensors
    if is_ssd and class_names is None:
        raise CheckpointError(
            f"{source}: was written by MMDetection 1.x and does not say how many classes it has, "
            "without which the outputs of an SSD cannot be told apart. Convert it with "
            "MMDetection's own tools/model_converters/upgrade_model_version.py first."
        )
    changed = {}
    for name, value in tensors.items():
        if has_regions and ".semantic_head." not in f".{name}":
            value = _without_background(name, value)
        if is_ssd and class_names is not None and _SSD.match(name):
            value = _background_last(value, len(class_names) + 1)
        if has_regions and _OF_REGIONS.match(name):
            name = f"roi_head.{name}"
        elif is_plain_retina:  # until 0.5, convolutions by themselves
            name = re.sub(r"^(bbox_head\.\w+_convs\.\d+)\.(weight|bias)$", r"\1.conv.\2", name)
        changed[name] = value
    return changed


def _without_background(name: str, value: Tensor) -> Tensor:
    """An output for each class of regions: the background's comes last, or does not come."""
    part = _ROWS.search(name)
    if part is None:
        return value
    rows = len(value)
    if part[1] == "fc_cls":
        return torch.cat([value[1:], value[:1]])
    if part[1] == "fc_reg":  # four of each class, or of all
        return value[4:] if rows > 4 else value
    return value[1:] if rows > 1 else value


def _background_last(value: Tensor, num_rows: int) -> Tensor:
    """The same of each anchor of a cell: (anchors * rows, ...)."""
    by_anchor = value.unflatten(0, (-1, num_rows))
    return torch.cat([by_anchor[:, 1:], by_anchor[:, :1]], 1).flatten(0, 1)
