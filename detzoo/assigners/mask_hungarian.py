"""Bipartite matching of queries and masks (MaskFormer, https://arxiv.org/abs/2107.06278)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.hungarian import ClassCost, ProbabilityCost
from detzoo.config import config
from detzoo.losses.masks import MaskCrossEntropy, MaskDiceLoss, MaskLoss


@config
class MaskHungarianAssigner:
    """Matches each target with one query at minimum total cost.

    The cost of a pair is the sum of the class cost and of two losses of the masks.

    Args:
        class_cost: Cost of the predicted class.
        mask_cost: Cost of the pixels of the mask, with its weight.
        dice_cost: Cost of the overlap of the masks, with its weight.
    """

    class_cost: ClassCost = ProbabilityCost(weight=2.0)
    mask_cost: MaskLoss = MaskCrossEntropy(weight=5.0)
    dice_cost: MaskLoss = MaskDiceLoss(weight=5.0)

    @torch.no_grad()
    def cost(
        self,
        logits: Tensor,
        masks: Tensor,
        labels: Tensor,
        targets: Tensor,
        is_missing: Tensor | None,
    ) -> Tensor:
        """The cost of matching each query of one image with each of its targets: (Q, N).

        Class logits (Q, K) and mask logits (Q, P) of queries, labels (N,) and masks (N, P) of
        targets. Targets without an annotated mask, ``is_missing`` (N,), are matched by class alone.
        """
        of_masks = self.mask_cost.cost(masks, targets) + self.dice_cost.cost(masks, targets)
        if is_missing is not None:
            of_masks = of_masks.masked_fill(is_missing, 0.0)
        return self.class_cost(logits[None, None], labels[None])[0, 0] + of_masks
