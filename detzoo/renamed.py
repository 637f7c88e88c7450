"""Former names of config classes, fields and values, so that saved files still open.

An old name is never reused. ``tests/test_renamed.py`` checks the tables against the classes.
"""

from __future__ import annotations

from typing import Any

# Old class name -> current name.
CLASSES: dict[str, str] = {
    "Adam": "AdamConfig",
    "AdamW": "AdamWConfig",
    "AdaptivelyStandardized": "AdaptiveConvConfig",
    "AllLevelsExtractor": "AllLevelsPoolingConfig",
    "BatchNorm": "BatchNormConfig",
    "CentrePad": "CenterPad",
    "Deformable": "DeformConvConfig",
    "DeformableRoIExtractor": "DeformablePoolingConfig",
    "EMA": "EMAConfig",
    "GroupNorm": "GroupNormConfig",
    "PlainConvolution": "PlainConvConfig",
    "PointExtractor": "PointSamplingConfig",
    "RandomBatchSize": "RandomBatchResize",
    "RandomCentreCropPad": "RandomCenterCropPad",
    "RoIExtractor": "PyramidRoIAlignConfig",
    "SGD": "SGDConfig",
    "SwitchableAtrous": "SwitchableAtrousConvConfig",
    "Views": "TTA",
    "WeightStandardized": "WeightStandardizedConvConfig",
}

# (current class name, old field name) -> current field name. Inherited by subclasses.
FIELDS: dict[tuple[str, str], str] = {
    ("CenterRegionAssigner", "min_coverage"): "min_iof",
    ("DataConfig", "batch_size"): "batch_resize",
    ("DataConfig", "views"): "tta",
    ("MaskGridHeadConfig", "centre_fraction"): "center_fraction",
    ("MaxIoUAssigner", "ignored_coverage"): "ignored_iof",
    ("Mosaic", "centre_range"): "center_range",
    ("SimOTAAssigner", "centre_radius"): "center_radius",
    ("YOLOv3HeadConfig", "centre_weight"): "center_weight",
}

# (current class name, current field name, old value) -> current value. Inherited by subclasses.
VALUES: dict[tuple[str, str, str], str] = {
    ("HungarianAssigner", "box_form", "centre_size"): "center_size",
}


def field(cls: type, name: str) -> str | None:
    """The current name of the field formerly called ``name``; None if there was no such field."""
    found = (FIELDS.get((parent, name)) for parent in _names(cls))
    return next((new for new in found if new is not None), None)


def value(cls: type, field: str, old: Any) -> Any:
    """The current name of the value ``old`` of a field; unchanged unless it was renamed."""
    if not isinstance(old, str):
        return old
    found = (VALUES.get((parent, field, old)) for parent in _names(cls))
    return next((new for new in found if new is not None), old)


def _names(cls: type) -> list[str]:
    """The names of the detzoo classes among ``cls`` and its bases."""
    return [parent.__name__ for parent in cls.__mro__ if parent.__module__.startswith("detzoo.")]
