"""Our Faster R-CNN, Mask R-CNN and RetinaNet (R50-FPN) against torchvision's own.

Both sides hold the same weights, frozen batch norm, the same trainable layers, numbers of
proposals and sampling ratio, and see the same uint8 images; the score layers are scaled so that
each returns about 100 detections per image. Runs are interleaved, so that a noisy machine is
noisy for both.

    python -m benchmarks.torchvision_models [--models retinanet] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import detection, resnet50
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

from detzoo import zoo
from detzoo.detectors.base import Detector
from detzoo.structures import Batch, BitmapMasks, ImageInfo, Targets
from detzoo.zoo.parts import FROZEN

NUM_CLASSES = 80
ENTRIES = {
    "faster_rcnn": "faster_rcnn_r50_fpn_1x_coco",
    "mask_rcnn": "mask_rcnn_r50_fpn_1x_coco",
    "retinanet": "retinanet_r50_fpn_1x_coco",
}


# ------------------------------------------------------------------------------------ the models


def our_model(name: str) -> Detector:
    config = zoo.find(ENTRIES[name]).experiment.model
    backbone = dataclasses.replace(config.backbone, norm=FROZEN)
    return dataclasses.replace(config, backbone=backbone).build(NUM_CLASSES)


def their_model(name: str, height: int, width: int) -> nn.Module:
    sizes = {"min_size": height, "max_size": max(height, width)}
    extra = LastLevelP6P7(2048, 256) if name == "retinanet" else None
    layers = [2, 3, 4] if name == "retinanet" else [1, 2, 3, 4]
    body = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    backbone = _resnet_fpn_extractor(body, 3, returned_layers=layers, extra_blocks=extra)
    if name == "retinanet":
        return detection.RetinaNet(backbone, NUM_CLASSES, detections_per_img=100, **sizes)
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


def randomise(model: nn.Module) -> None:
    """Weights that keep the features' scale, whatever a fresh model starts with."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(1.0)
        elif tensor.dim() >= 2:
            fan = tensor[0].numel()
            tensor.normal_(0, 1 / math.sqrt(fan), generator=generator)
        elif name.endswith("weight"):
            tensor.uniform_(0.5, 1.0, generator=generator)
        elif tensor.dtype.is_floating_point:
            tensor.zero_()


def map_weights(name: str, ours: nn.Module, theirs: nn.Module) -> None:
    """Our weights in torchvision's model; its background is the first class, ours the last."""
    state, target = ours.state_dict(), theirs.state_dict()
    for key, value in target.items():
        source = _our_name(key)
        new = state[source]
        if key.startswith("roi_heads.box_predictor.cls_score"):
            new = torch.cat([new[-1:], new[:-1]])
        elif key.startswith("roi_heads.box_predictor.bbox_pred"):
            new = torch.cat([torch.zeros_like(new[:4]), new])
        elif "mask_fcn_logits" in key:
            new = torch.cat([torch.zeros_like(new[:1]), new])
        assert new.shape == value.shape, (key, source)
        value.copy_(new)


def _our_name(key: str) -> str:
    number = {"0": "0", "1": "1", "2": "2", "3": "3"}
    parts = key.split(".")
    if key.startswith("backbone.body."):
        return "backbone." + ".".join(parts[2:])
    if key.startswith("backbone.fpn."):
        kind = {"inner_blocks": "lateral_convs", "layer_blocks": "fpn_convs"}.get(parts[2])
        if kind is None:
            return f"neck.fpn_convs.{ {'p6': 3, 'p7': 4}[parts[3]] }.conv.{parts[4]}"
        return f"neck.{kind}.{number[parts[3]]}.conv.{parts[-1]}"
    fixed = {
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
    stem, leaf = key.rsplit(".", 1)
    if stem in fixed:
        return f"{fixed[stem]}.{leaf}"
    if key.startswith("roi_heads.mask_head."):
        return f"roi_head.mask_head.convs.{parts[2]}.conv.{leaf}"
    tower = {"classification_head": "cls_convs", "regression_head": "reg_convs"}[parts[1]]
    return f"bbox_head.{tower}.{parts[3]}.conv.{leaf}"


def calibrate(name: str, model: Detector, batch: Batch) -> None:
    """Scales the score layer so that the first image has about 100 detections, and hardly more."""
    head = "bbox_head.retina_cls" if name == "retinanet" else "roi_head.bbox_head.fc_cls"
    layer = model.get_submodule(head)
    assert isinstance(layer, (nn.Conv2d, nn.Linear))
    weight = layer.weight.data.clone()
    low, high = 0.1, 200.0
    layer.bias.data.fill_(-4.6 if name == "retinanet" else 0.0)
    if name != "retinanet":
        layer.bias.data[-1] = 4.0
    with torch.no_grad():
        images = model.preprocess(Batch(batch.pixels[:1], batch.infos[:1]))
        for _ in range(8):
            scale = math.sqrt(low * high)
            layer.weight.data.copy_(weight * scale)
            found = len(model(images)[0])
            low, high = (low, scale) if found >= 100 else (scale, high)
    layer.weight.data.copy_(weight * high)


# ----------------------------------------------------------------------------------- the inputs


def make_batch(count: int, height: int, width: int) -> tuple[Batch, list[Targets]]:
    """Smooth random images, and ten objects in each."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand((count, 3, height // 16, width // 16), generator=generator)
    images = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    pixels = (images * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    targets = []
    for _ in range(count):
        low = torch.rand((10, 2), generator=generator) * torch.tensor([width, height]) * 0.6
        side = torch.rand((10, 2), generator=generator) * 250 + 30
        boxes = torch.cat([low, low + side], 1)
        masks = torch.zeros((10, height, width), dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist()):
            mask[y1:y2, x1:x2] = 1
        labels = torch.randint(0, NUM_CLASSES, (10,), generator=generator)
        targets.append(Targets.of(boxes, labels, BitmapMasks(masks)))
    infos = tuple(ImageInfo.of((height, width), id=i) for i in range(count))
    return Batch(pixels, infos, tuple(targets)), targets


def their_targets(targets: list[Targets], first_label: int) -> list[dict[str, Tensor]]:
    out = []
    for target in targets:
        assert isinstance(target.masks, BitmapMasks)
        out.append(
            {
                "boxes": target.boxes,
                "labels": target.labels + first_label,
                "masks": target.masks.bitmaps,
            }
        )
    return out


# --------------------------------------------------------------------------------- the measuring


def time_interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def compare(name: str, rounds: int, height: int, width: int, batch_size: int) -> list[dict]:
    batch, targets = make_batch(batch_size, height, width)
    ours, theirs = our_model(name), their_model(name, height, width)
    randomise(ours)
    ours.eval()
    calibrate(name, ours, batch)
    map_weights(name, ours, theirs)
    theirs.eval()
    their_images = [image.permute(2, 0, 1).flip(0) for image in batch.pixels]
    single = Batch(batch.pixels[:1], batch.infos[:1])
    counts: dict[str, int] = {}

    @torch.inference_mode()
    def infer_ours() -> None:
        detections = ours(ours.preprocess(single))
        results = [d.to_original(info) for d, info in zip(detections, single.infos)]
        counts["detzoo"] = len(results[0])

    @torch.inference_mode()
    def infer_theirs() -> None:
        counts["torchvision"] = len(theirs([their_images[0] / 255])[0]["boxes"])

    rows = [
        _row(
            name,
            "inference",
            time_interleaved({"detzoo": infer_ours, "torchvision": infer_theirs}, rounds),
            counts,
        )
    ]

    first_label = 0 if name == "retinanet" else 1
    truth = their_targets(targets, first_label)
    optimizers = {
        side: torch.optim.SGD([p for p in m.parameters() if p.requires_grad], 1e-6, 0.9)
        for side, m in (("detzoo", ours), ("torchvision", theirs))
    }
    trained = {
        side: sum(p.numel() for g in o.param_groups for p in g["params"])
        for side, o in optimizers.items()
    }

    def step(side: str, losses: dict[str, Tensor]) -> None:
        sum(value for name, value in losses.items() if name != "acc").backward()
        optimizers[side].step()
        optimizers[side].zero_grad()

    ours.train()
    theirs.train()
    seconds = time_interleaved(
        {
            "detzoo": lambda: step("detzoo", ours(ours.preprocess(batch), targets)),
            "torchvision": lambda: step(
                "torchvision", theirs([image / 255 for image in their_images], truth)
            ),
        },
        rounds,
    )
    return [*rows, _row(name, "training step", seconds, trained)]


def _row(name: str, what: str, seconds: dict[str, list[float]], counts: dict[str, int]) -> dict:
    ratios = [b / a for a, b in zip(seconds["detzoo"], seconds["torchvision"])]
    row = {
        "model": name,
        "what": what,
        "detzoo_seconds": statistics.median(seconds["detzoo"]),
        "torchvision_seconds": statistics.median(seconds["torchvision"]),
        "times_as_fast": statistics.median(ratios),
        "slowest_round": min(ratios),
        "fastest_round": max(ratios),
        "counts": counts,
    }
    print(
        f"{name:12} {what:14} detzoo {row['detzoo_seconds']:.3f} s, torchvision "
        f"{row['torchvision_seconds']:.3f} s: {row['times_as_fast']:.2f} times as fast "
        f"({row['slowest_round']:.2f} to {row['fastest_round']:.2f}), {counts}",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(ENTRIES), default=list(ENTRIES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", nargs=2, type=int, default=(800, 1216), metavar=("H", "W"))
    parser.add_argument("--batch-size", type=int, default=2, help="of training steps")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    height, width = options.size
    print(
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}, {height}x{width}"
    )
    rows = []
    for name in options.models:
        rows += compare(name, options.rounds, height, width, options.batch_size)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
