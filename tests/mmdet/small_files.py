"""Small V2 files on published ones, and their data pipelines."""

from __future__ import annotations

from pathlib import Path

from detzoo.mmdet import Imported, import_file
from tests.mmdet.published import published_configs

FASTER = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
MASK = "mask_rcnn/mask_rcnn_r50_fpn_1x_coco.py"
CASCADE = "cascade_rcnn/cascade_rcnn_r50_fpn_1x_coco.py"
RETINANET = "retinanet/retinanet_r50_fpn_1x_coco.py"
YOLOX = "yolox/yolox_s_8x8_300e_coco.py"
YOLOF = "yolof/yolof_r50_c5_8x8_1x_coco.py"
HTC = "htc/htc_r50_fpn_1x_coco.py"
CORNERNET = "cornernet/cornernet_hourglass104_mstest_8x6_210e_coco.py"
NORM = "dict(type='Normalize', mean={mean}, std={std}, to_rgb=True)"
COLORS = NORM.format(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
PAD = "dict(type='Pad', size_divisor=32)"
FLIP = "dict(type='RandomFlip', flip_ratio=0.5)"


def imported(folder: Path, base: str, text: str) -> Imported:
    path = folder / "mine.py"
    path.write_text(f"_base_ = {str(published_configs() / base)!r}\n{text}\n")
    return import_file(path)


def train(*steps: str, size: str = "(1333, 800)") -> str:
    """``data.train`` with these steps after resizing."""
    resize = f"dict(type='Resize', img_scale={size}, keep_ratio=True)"
    last = "dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels'])"
    steps = ("dict(type='LoadImageFromFile')", "dict(type='LoadAnnotations')", resize, *steps, last)
    return f"train=dict(pipeline=[{', '.join(steps)}])"


def held_out(*steps: str, load: str = "") -> str:
    """``data.test`` with these steps after resizing."""
    steps = ("dict(type='Resize', keep_ratio=True)", *steps, "dict(type='Collect', keys=['img'])")
    views = "type='MultiScaleFlipAug', img_scale=(1333, 800), flip=False"
    views = f"dict({views}, transforms=[{', '.join(steps)}])"
    return f"test=dict(pipeline=[dict(type='LoadImageFromFile'{load}), {views}])"
