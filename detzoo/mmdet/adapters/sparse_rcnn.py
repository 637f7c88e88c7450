"""Sparse R-CNN: QueryInst's detector without masks."""

from __future__ import annotations

from detzoo.mmdet.adapters.query_heads import sparse
from detzoo.mmdet.registry import adapts

adapts("detector", "SparseRCNN")(sparse)
