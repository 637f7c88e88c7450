"""Detection metrics: COCO, LVIS, Open Images, Pascal VOC, Cityscapes, panoptic quality, recall."""

from detzoo.evaluate.cityscapes import CityscapesEvaluator
from detzoo.evaluate.coco import COCO_AREAS, AreaRange, CocoEvaluator
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth, read_ground_truth
from detzoo.evaluate.lvis import LvisEvaluator
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.open_images import OpenImagesEvaluator
from detzoo.evaluate.panoptic import PanopticEvaluator
from detzoo.evaluate.proposals import ProposalEvaluator
from detzoo.evaluate.results import ImageResult, read_results, write_results
from detzoo.evaluate.run import default_evaluators, detect, evaluate, score
from detzoo.evaluate.voc import VocEvaluator

__all__ = [
    "COCO_AREAS",
    "AreaRange",
    "CityscapesEvaluator",
    "CocoEvaluator",
    "Evaluator",
    "GroundTruth",
    "ImageResult",
    "LvisEvaluator",
    "Metrics",
    "OpenImagesEvaluator",
    "PanopticEvaluator",
    "ProposalEvaluator",
    "VocEvaluator",
    "default_evaluators",
    "detect",
    "evaluate",
    "read_ground_truth",
    "read_results",
    "score",
    "write_results",
]
