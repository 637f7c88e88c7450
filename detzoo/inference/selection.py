"""Which detections to keep: scores by class, some classes, so many at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detzoo.errors import ConfigError
from detzoo.inference.result import Result
from detzoo.structures import Detections, PanopticMap

AUTO = "auto"


@dataclass(frozen=True)
class Selection:
    """Keeps detections of class c that score ``min_scores[c]`` (C,) or more, the highest
    ``max_detections`` of them.

    Infinity keeps none of a class. The classes are things, followed by those of stuff in panoptic
    maps, of which ``max_detections`` does not leave out any; ``num_things`` is how many the former
    are.
    """

    min_scores: Tensor
    max_detections: int | None = None
    num_things: int | None = None

    @property
    def lowest(self) -> float:
        """The lowest score of an object that can be kept."""
        return min(float(self.min_scores[: self.num_things].min()), 1.0)

    def __call__(self, result: Result) -> Result:
        found = result.detections
        found = found[self.keeps(found)][: self.max_detections]
        if result.panoptic is not None:
            found = replace(found, panoptic=self._of_map(result.panoptic))
        return replace(result, detections=found)

    def _of_map(self, found: PanopticMap) -> PanopticMap:
        kept = found.scores >= self.min_scores[found.labels]
        if self.max_detections is not None:
            # Things are in descending order of score.
            rank = (kept & found.is_thing).cumsum(0)
            kept &= ~found.is_thing | (rank <= self.max_detections)
        return found.only(kept)

    def keeps(self, found: Detections) -> Tensor:
        """Which of N detections score enough, (N,) bool."""
        return found.scores >= self.min_scores[found.labels]

    @classmethod
    def of(
        cls,
        class_names: Sequence[str],
        min_score: str,
        *,
        thresholds: Mapping[str, float] | None = None,
        classes: Sequence[str] | None = None,
        max_detections: int | None = None,
        stuff_names: Sequence[str] = (),
    ) -> Selection:
        """From what is typed.

        ``min_score`` is a number, "auto" (the ``thresholds`` that are stored in a checkpoint), or
        numbers by class and for the others: "0.3,person=0.5". ``classes`` None keeps all. Raises
        :class:`ConfigError` for an unknown class, a score that is not from 0 to 1, and "auto"
        where there are no thresholds.
        """
        names = (*class_names, *stuff_names)
        scores = _scores(names, len(class_names), min_score, thresholds)
        if classes is not None:
            for name in classes:
                _require(name, names, f"--classes {','.join(classes)}")
            scores = [
                score if name in classes else float("inf") for name, score in zip(names, scores)
            ]
        return cls(torch.tensor(scores), max_detections, len(class_names))


DEFAULT_SCORE = 0.3


def _scores(
    names: Sequence[str], things: int, text: str, thresholds: Mapping[str, float] | None
) -> list[float]:
    """The lowest score of each of ``names``: ``things`` of these, then stuff, which is a choice
    among the classes of a pixel and so has no lowest score, unless it is given one."""
    option = f"--min-score {text}"
    if text == AUTO:
        if thresholds is None:
            raise ConfigError(
                f"{option}: this model has no thresholds of its own. Store the best ones in a "
                "checkpoint with detzoo analyze CHECKPOINT --data DATA -o report "
                "--store-thresholds, or give a number."
            )
        defaults = [DEFAULT_SCORE] * things + [0.0] * (len(names) - things)
        return [thresholds.get(name, score) for name, score in zip(names, defaults)]
    default, by_name = DEFAULT_SCORE, dict[str, float]()
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        try:
            score = float(number)
        except ValueError:
            score = -1.0
        if not 0 <= score <= 1:
            raise ConfigError(
                f"{option}: {part!r} is not a score from 0 to 1. Write 0.5, person=0.5,car=0.3 or "
                f"{AUTO}."
            )
        if equals:
            _require(name, names, option)
            by_name[name] = score
        else:
            default = score
    defaults = [default] * things + [0.0] * (len(names) - things)
    return [by_name.get(name, score) for name, score in zip(names, defaults)]


def _require(name: str, class_names: Sequence[str], option: str) -> None:
    if name not in class_names:
        more = ", ..." if len(class_names) > 20 else ""
        raise ConfigError(
            f"{option}: the model knows no class {name!r}; it knows "
            f"{', '.join(class_names[:20])}{more}."
        )
