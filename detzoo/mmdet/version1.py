"""Configurations of MMDetection before 2.0, which are recognized and not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

# Settings of heads that became parts of their own, anchors and coders.
_OF_HEADS: Final = ("anchor_scales", "anchor_ratios", "anchor_strides", "target_means")
# Parts of a two-stage detector that became those of its RoI head.
_OF_DETECTORS: Final = ("bbox_roi_extractor", "mask_roi_extractor", "shared_head")
REASON: Final = (
    "is that of MMDetection 1.x ({}), where the background was the first class and heads were laid "
    "out otherwise. Write it for 2.x (its documentation has a page on that), or give a model of "
    "the zoo (those whose names end in _v1 compute as 1.x did); weights of 1.x are read as they "
    "are, with --weights"
)


def sign_of_version1(model: Any, num_classes: int | None) -> str | None:
    """What shows that ``model`` is one of 1.x, None if nothing does.

    ``num_classes`` is the number of class names of the data, if known.
    """
    if not isinstance(model, Mapping):
        return None
    for key in _OF_DETECTORS:
        if key in model:
            return f"model.{key}"
    for path, head in _heads(model):
        for key in _OF_HEADS:
            if key in head:
                return f"{path}.{key}"
        given = head.get("num_classes")
        # Another number of classes is not unusual, but with weights beside the model itself it is.
        if num_classes is not None and given == num_classes + 1 and "pretrained" in model:
            return f"{path}.num_classes is {given}, for {num_classes} classes"
    return None


def _heads(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in ("rpn_head", "bbox_head"):
        value = model.get(key)
        heads = value if isinstance(value, list | tuple) else (value,)
        yield from ((f"model.{key}", head) for head in heads if isinstance(head, Mapping))
