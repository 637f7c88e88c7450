"""Writes data sets in other formats: COCO, YOLO and Pascal VOC."""

from detzoo.data.writers.convert import FORMATS, Converted, convert

__all__ = ["FORMATS", "Converted", "convert"]
