"""Predictions matched with targets: Hungarian (DETR and its kind) and SimOTA (YOLOX)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.ops.pair import Run
from detzoo.assigners.hungarian import FocalCost, HungarianAssigner, TargetTable, solve
from detzoo.assigners.sim_ota import SimOTAAssigner
from detzoo.ops.boxes import pairwise_iou
from detzoo.priors.points import PointGrid
from detzoo.structures import BACKGROUND, ImageInfo, Priors, Targets

STAGES, IMAGES, QUERIES, CLASSES, OBJECTS = 6, 4, 300, 80, 20
# YOLOX on a picture of 640 x 640.
STRIDES = (8, 16, 32)
GRIDS = ((80, 80), (40, 40), (20, 20))
YOLOX_OBJECTS = 30


# ------------------------------------------------------------------------- Hungarian matching


def prepare_hungarian(device: torch.device) -> tuple[Run, Run]:
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([1333.0, 800.0]).repeat(2)

    def random_boxes(*shape: int) -> Tensor:
        corners = torch.rand((*shape, 2, 2), generator=generator).sort(-2).values
        return (corners.flatten(-2) * size).to(device)

    logits = torch.randn((STAGES, IMAGES, QUERIES, CLASSES), generator=generator).to(device)
    boxes = random_boxes(STAGES, IMAGES, QUERIES)
    labels = torch.randint(CLASSES, (IMAGES, OBJECTS), generator=generator).to(device)
    targets = [Targets.of(random_boxes(OBJECTS), own) for own in labels]
    infos = [ImageInfo.of((800, 1333))] * IMAGES
    assigner = HungarianAssigner(class_cost=FocalCost(weight=2.0))
    scale = size.to(device)

    def straightforward() -> list[Tensor]:
        return one_by_one(logits, boxes, targets, scale)

    def ours() -> Tensor:
        table = TargetTable.of(targets, infos)
        return solve([assigner.cost(logits, boxes, table)], table.counts)[0]

    assert torch.equal(torch.stack(straightforward()), ours().flatten(0, 1))
    return straightforward, ours


def one_by_one(
    logits: Tensor, boxes: Tensor, targets: Sequence[Targets], scale: Tensor
) -> list[Tensor]:
    """Image by image and stage by stage, each with its own move to the host."""
    matched = []
    for stage_logits, stage_boxes in zip(logits, boxes):
        for own_logits, own_boxes, target in zip(stage_logits, stage_boxes, targets):
            p = own_logits.sigmoid()
            negative = -(1 - p + 1e-12).log() * 0.75 * p.pow(2)
            positive = -(p + 1e-12).log() * 0.25 * (1 - p).pow(2)
            cost = 2 * (positive - negative)[:, target.labels]
            own, wanted = (_center_size(x / scale) for x in (own_boxes, target.boxes))
            cost = cost + 5 * torch.cdist(own, wanted, p=1) - 2 * _giou(own_boxes, target.boxes)
            rows, columns = linear_sum_assignment(cost.cpu().numpy())
            index = torch.full((len(own_boxes),), BACKGROUND, device=boxes.device)
            index[torch.from_numpy(rows).to(index.device)] = torch.from_numpy(columns).to(
                index.device
            )
            matched.append(index)
    return matched


def _center_size(boxes: Tensor) -> Tensor:
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def _giou(a: Tensor, b: Tensor) -> Tensor:
    low, high = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    union = areas[0][:, None] + areas[1] - common
    low, high = torch.min(a[:, None, :2], b[:, :2]), torch.max(a[:, None, 2:], b[:, 2:])
    hull = (high - low).prod(-1)
    return common / union - (hull - union) / hull


# --------------------------------------------------------------------------------------- SimOTA


def prepare_sim_ota(device: torch.device) -> tuple[Run, Run]:
    """Boxes are a few strides large and lie where their priors are."""
    generator = torch.Generator().manual_seed(0)
    priors = PointGrid(offset=0.0).place(GRIDS, STRIDES, device)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(device)

    stride = priors.stride[:, None]
    centre = priors.boxes[:, :2] + stride * random(len(priors), 2)
    half = stride * (0.5 + 3 * random(len(priors), 2))
    boxes = torch.cat([centre - half, centre + half], 1)
    scores = 0.3 * random(len(priors), CLASSES) * random(len(priors), 1)
    centre, half = 640 * random(YOLOX_OBJECTS, 2), 8 + 150 * random(YOLOX_OBJECTS, 2)
    corners = torch.cat([centre - half, centre + half], 1).clamp(0, 640)
    labels = (CLASSES * random(YOLOX_OBJECTS)).long()
    targets = Targets.of(corners, labels)
    assigner = SimOTAAssigner()

    def straightforward() -> Tensor:
        return target_by_target(assigner, priors, scores, boxes, targets)

    def ours() -> Tensor:
        return assigner.assign(priors, scores, boxes, targets).target_index

    assert torch.equal(straightforward(), ours())
    return straightforward, ours


def target_by_target(
    assigner: SimOTAAssigner, priors: Priors, scores: Tensor, boxes: Tensor, targets: Targets
) -> Tensor:
    """The priors that count are chosen first; every pair's cross entropy is that of all classes."""
    stride = priors.stride[:, None, None]
    middle = priors.boxes[:, None, :2] + stride / 2
    low, high = targets.boxes[:, :2], targets.boxes[:, 2:]
    in_box = ((middle > low) & (middle < high)).all(2)
    near = ((middle - (low + high) / 2).abs() < assigner.center_radius * stride).all(2)
    counts = (in_box | near).any(1)

    shape = (int(counts.sum()), len(targets), scores.shape[1])
    roots = scores[counts].sqrt()[:, None].expand(shape)
    wanted = F.one_hot(targets.labels, shape[2]).to(roots).expand(shape)
    entropy = F.binary_cross_entropy(roots, wanted, reduction="none").sum(2)
    iou = pairwise_iou(boxes[counts], targets.boxes)
    cost = entropy * assigner.class_weight - (iou + 1e-7).log() * assigner.iou_weight
    cost = cost + ~(in_box & near)[counts] * 100_000.0

    most = min(assigner.num_candidates, shape[0])
    numbers = iou.topk(most, 0).values.sum(0).int().clamp(min=1)
    takes = torch.zeros_like(cost, dtype=torch.bool)
    for target, number in enumerate(numbers.tolist()):
        takes[cost[:, target].topk(number, largest=False).indices, target] = True
    shared = takes.sum(1) > 1
    takes[shared] = F.one_hot(cost[shared].argmin(1), len(targets)).bool()

    index = torch.full((len(priors),), BACKGROUND, device=boxes.device)
    index[counts] = torch.where(takes.any(1), takes.int().argmax(1), BACKGROUND)
    return index
