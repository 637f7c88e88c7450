"""The model zoo: every named configuration, by family."""

from __future__ import annotations

import difflib
import functools

from detzoo.errors import UserError
from detzoo.zoo import (
    atss,
    autoassign,
    carafe,
    cascade_rcnn,
    centernet,
    centripetalnet,
    cityscapes,
    cornernet,
    dcn,
    deformable_detr,
    detectors,
    detr,
    dynamic_rcnn,
    fast_rcnn,
    faster_rcnn,
    fcos,
    foveabox,
    free_anchor,
    fsaf,
    gcnet,
    gfl,
    ghm,
    gn,
    gn_ws,
    grid_rcnn,
    groie,
    guided_anchoring,
    hrnet,
    htc,
    instaboost,
    libra_rcnn,
    light,
    mask_rcnn,
    ms_rcnn,
    nas_fpn,
    paa,
    pascal_voc,
    point_rend,
    pvt,
    queryinst,
    regnet,
    reppoints,
    res2net,
    resnest,
    retinanet,
    rpn,
    sabl,
    scratch,
    seesaw_loss,
    solo,
    ssd,
    wider_face,
    yolo,
    yolof,
    yolox,
)
from detzoo.zoo.entry import Entry, Family

FAMILIES: tuple[Family, ...] = (
    rpn.FAMILY,
    faster_rcnn.FAMILY,
    mask_rcnn.FAMILY,
    retinanet.FAMILY,
    cascade_rcnn.FAMILY,
    libra_rcnn.FAMILY,
    fcos.FAMILY,
    guided_anchoring.FAMILY,
    htc.FAMILY,
    nas_fpn.FAMILY,
    atss.FAMILY,
    gfl.FAMILY,
    detr.FAMILY,
    deformable_detr.FAMILY,
    sabl.FAMILY,
    fast_rcnn.FAMILY,
    seesaw_loss.FAMILY,
    paa.FAMILY,
    queryinst.FAMILY,
    ssd.FAMILY,
    yolo.FAMILY,
    yolox.FAMILY,
    centernet.FAMILY,
    cornernet.FAMILY,
    centripetalnet.FAMILY,
    wider_face.FAMILY,
    ghm.FAMILY,
    free_anchor.FAMILY,
    ms_rcnn.FAMILY,
    fsaf.FAMILY,
    solo.FAMILY,
    foveabox.FAMILY,
    grid_rcnn.FAMILY,
    carafe.FAMILY,
    dynamic_rcnn.FAMILY,
    groie.FAMILY,
    yolof.FAMILY,
    detectors.FAMILY,
    point_rend.FAMILY,
    dcn.FAMILY,
    gcnet.FAMILY,
    gn.FAMILY,
    gn_ws.FAMILY,
    scratch.FAMILY,
    hrnet.FAMILY,
    regnet.FAMILY,
    res2net.FAMILY,
    resnest.FAMILY,
    pvt.FAMILY,
    reppoints.FAMILY,
    autoassign.FAMILY,
    instaboost.FAMILY,
    pascal_voc.FAMILY,
    cityscapes.FAMILY,
    light.FAMILY,
)


def entries() -> tuple[Entry, ...]:
    """All entries, family by family."""
    return tuple(entry for family in FAMILIES for entry in family.entries)


def find(name: str) -> Entry:
    """The entry called ``name``. Raises :class:`UserError` with the nearest names otherwise."""
    entry = _by_name().get(name)
    if entry is None:
        near = difflib.get_close_matches(name, _by_name(), n=3, cutoff=0.5)
        hint = f"the nearest names are {', '.join(near)}" if near else "no name is near it"
        raise UserError(f"no model is called {name!r}: {hint}. `detzoo models` lists them all.")
    return entry


def family_of(entry: Entry) -> Family:
    """The family that ``entry`` belongs to."""
    return next(family for family in FAMILIES if entry in family.entries)


@functools.cache
def _by_name() -> dict[str, Entry]:
    return {entry.name: entry for entry in entries()}
