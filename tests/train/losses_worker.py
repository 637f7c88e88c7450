"""One of two processes that share a model which returns losses and metrics."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from detzoo.structures import Losses


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Parameter(torch.zeros(()))
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Losses:
        return Losses(loss=self.used * x, metrics={"rank": x.detach()})


def main() -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    for options in ({"find_unused_parameters": True}, {"static_graph": True}):
        model = Model()
        parallel = DistributedDataParallel(model, **options)  # type: ignore[arg-type]
        for _ in range(2):
            model.zero_grad()
            losses = parallel(torch.tensor(float(rank)))
            assert type(losses) is Losses
            assert losses.metrics["rank"] == rank
            losses.total().backward()
            assert model.used.grad == 0.5, options  # the mean over ranks 0 and 1
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
