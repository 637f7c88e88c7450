"""Class names of the public data sets, in the order of the published checkpoints."""

from __future__ import annotations

from detzoo.data.formats.cityscapes import CITYSCAPES_CLASSES
from detzoo.data.formats.voc import VOC_CLASSES
from detzoo.zoo.lvis_classes import LVIS_V05, LVIS_V1
from detzoo.zoo.objects365_classes import OBJECTS365_V1, OBJECTS365_V2
from detzoo.zoo.open_images_classes import OPEN_IMAGES_CHALLENGE, OPEN_IMAGES_V6

__all__ = [
    "CITYSCAPES",
    "COCO",
    "COCO_STUFF",
    "DEEPFASHION",
    "LVIS_V05",
    "LVIS_V1",
    "OBJECT",
    "OBJECTS365_V1",
    "OBJECTS365_V2",
    "OPEN_IMAGES_CHALLENGE",
    "OPEN_IMAGES_V6",
    "VOC",
    "WIDER_FACE",
]

CITYSCAPES = CITYSCAPES_CLASSES
VOC = VOC_CLASSES
WIDER_FACE = ("face",)
COCO = tuple(
    """
    person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign
    |parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella
    |handbag|tie|suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove
    |skateboard|surfboard|tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple
    |sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake|chair|couch|potted plant|bed
    |dining table|toilet|tv|laptop|mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink
    |refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush
    """.strip()
    .replace("\n    ", "")
    .split("|")
)

# The stuff of COCO's panoptic annotations; their things are COCO's classes.
COCO_STUFF = tuple(
    """
    banner|blanket|bridge|cardboard|counter|curtain|door-stuff|floor-wood|flower|fruit|gravel
    |house|light|mirror-stuff|net|pillow|platform|playingfield|railroad|river|road|roof|sand|sea
    |shelf|snow|stairs|tent|towel|wall-brick|wall-stone|wall-tile|wall-wood|water-other
    |window-blind|window-other|tree-merged|fence-merged|ceiling-merged|sky-other-merged
    |cabinet-merged|table-merged|floor-other-merged|pavement-merged|mountain-merged|grass-merged
    |dirt-merged|paper-merged|food-other-merged|building-other-merged|rock-merged
    |wall-other-merged|rug-merged
    """.strip()
    .replace("\n    ", "")
    .split("|")
)

DEEPFASHION = tuple(
    """
    top|skirt|leggings|dress|outer|pants|bag|neckwear|headwear|eyeglass|belt|footwear|hair|skin|face
    """.strip().split("|")
)

# The class of class-agnostic detectors.
OBJECT = ("object",)
