"""MMDetection 2.x, where it is installed: the same configuration, the same weights by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.side_by_side.side import Side
from benchmarks.side_by_side.task import Task
from detzoo import zoo
from detzoo.structures import ImageInfo


class MMDetection(Side):
    toolbox = "MMDetection"
    model: Any

    @classmethod
    def make(cls, task: Task) -> MMDetection:
        from mmcv import Config
        from mmdet.models import build_detector

        found = importlib.util.find_spec("mmdet")
        assert found is not None
        assert found.origin is not None
        name = task.subject.entry
        folder = zoo.family_of(zoo.find(name)).folder
        configs = Path(found.origin).parent / ".mim" / "configs"
        settings = Config.fromfile(str(configs / folder / f"{name}.py")).model
        backbone = settings.backbone
        backbone.pop("init_cfg", None)
        if "norm_eval" in backbone and backbone["type"] == "ResNet":
            backbone.norm_cfg.requires_grad = False
        model = build_detector(settings)
        model.load_state_dict(task.weights)
        return cls(task, model)

    def infer(self) -> int:
        pixels, infos = self._images()
        count = self.task.num_seen
        found = self.model.simple_test(pixels[:count], infos[:count], rescale=True)
        boxes = [image[0] if self.model.with_mask else image for image in found]
        return sum(len(of_class) for image in boxes for of_class in image)

    def loss(self) -> Tensor:
        from mmdet.core import BitmapMasks

        pixels, infos = self._images()
        targets = self.task.targets
        given: dict[str, Any] = {
            "gt_bboxes": [target.boxes for target in targets],
            "gt_labels": [target.labels for target in targets],
        }
        if self.model.with_mask:
            given["gt_masks"] = [
                BitmapMasks(masks.cpu().numpy(), *self.task.size) for masks in self.task.bitmaps
            ]
        loss, _ = self.model._parse_losses(self.model.forward_train(pixels, infos, **given))
        return loss

    def _images(self) -> tuple[Tensor, list[dict[str, Any]]]:
        """Normalised pixels (B, 3, H, W), and what MMDetection's loader says of them."""
        settings = self.task.config.input_pixels
        raw = self.task.batch.pixels.to(self.task.device).permute(0, 3, 1, 2)
        if settings.order == "rgb":
            raw = raw.flip(1)
        mean, std = (raw.new_tensor(v, dtype=torch.float32) for v in (settings.mean, settings.std))
        pixels = (raw - mean[:, None, None]) / std[:, None, None]
        return pixels.contiguous(), [_meta(info) for info in self.task.batch.infos]


def _meta(info: ImageInfo) -> dict[str, Any]:
    shape = (*info.size, 3)
    return {
        "img_shape": shape,
        "ori_shape": shape,
        "pad_shape": shape,
        "batch_input_shape": info.size,
        "scale_factor": np.ones(4, np.float32),
        "flip": False,
        "filename": str(info.id),
    }
