from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from detzoo.errors import UserError
from detzoo.structures import Losses


def losses() -> Losses:
    return Losses(
        loss_cls=torch.tensor(2.0), distance=torch.tensor(1.0), metrics={"acc": torch.tensor(50.0)}
    )


def numbers(values: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in values.items()}


def test_terms_are_minimized_and_metrics_reported() -> None:
    found = losses()
    assert sum(found.values()) == found.total() == 3.0  # whatever the terms are called
    assert numbers(found.logged()) == {"loss_cls": 2, "distance": 1, "acc": 50}


def test_weighting_and_prefixes() -> None:
    found = losses().weighted(0.5).prefixed("s1.")
    assert numbers(found) == {"s1.loss_cls": 1, "s1.distance": 0.5}
    assert numbers(found.metrics) == {"s1.acc": 50}


def test_joining() -> None:
    other = Losses(loss_box=torch.tensor(4.0), metrics={"recall": torch.tensor(1.0)})
    joined = losses() | other
    assert joined.total() == 7
    assert set(joined.metrics) == {"acc", "recall"}
    same = losses()
    same |= other
    assert same == joined
    assert same.metrics == joined.metrics
    plain = losses() | {"loss_box": torch.tensor(4.0), "recall": torch.tensor(1.0)}
    assert (plain, plain.metrics) == (joined, joined.metrics)


def test_plain_dicts_are_read_by_their_names() -> None:
    found = Losses.of({"loss_cls": torch.tensor(2.0), "acc": torch.tensor(50.0)})
    assert (numbers(found), numbers(found.metrics)) == ({"loss_cls": 2}, {"acc": 50})
    assert Losses.of(found) is found
    with pytest.raises(UserError, match="none of classification, boxes has 'loss' in its name"):
        Losses.of({"classification": torch.tensor(2.0), "boxes": torch.tensor(1.0)})


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: pytree.tree_map(torch.clone, x),
    ],
)
def test_copies_keep_the_metrics(copied) -> None:  # type: ignore[no-untyped-def]
    found = copied(losses())
    assert type(found) is Losses
    assert (found, found.metrics) == (losses(), losses().metrics)
