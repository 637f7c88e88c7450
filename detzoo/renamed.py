"""What classes, fields and values of configurations were called before: saved files still open.

An old name is never given to anything else. ``tests/test_renamed.py`` holds the tables against the
classes.
"""

from __future__ import annotations

from typing import Any

# Old name of a class -> its name now.
CLASSES: dict[str, str] = {
    "CentrePad": "CenterPad",
    "RandomBatchSize": "RandomBatchResize",
    "RandomCentreCropPad": "RandomCenterCropPad",
    "Views": "TTA",
}

# (class, as it is called now; old name of its field) -> the field's name now. Subclasses inherit.
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

# (class, field, as they are called now; old value) -> the value now. Subclasses inherit.
VALUES: dict[tuple[str, str, str], str] = {
    ("HungarianAssigner", "box_form", "centre_size"): "center_size",
}


def field(cls: type, name: str) -> str | None:
    """What the field ``name`` of ``cls`` is called now; None if it never had that name."""
    found = (FIELDS.get((parent, name)) for parent in _names(cls))
    return next((new for new in found if new is not None), None)


def value(cls: type, field: str, old: Any) -> Any:
    """What the value ``old`` of a field is called now: mostly itself."""
    if not isinstance(old, str):
        return old
    found = (VALUES.get((parent, field, old)) for parent in _names(cls))
    return next((new for new in found if new is not None), old)


def _names(cls: type) -> list[str]:
    """The detzoo classes that ``cls`` is one of."""
    return [parent.__name__ for parent in cls.__mro__ if parent.__module__.startswith("detzoo.")]
