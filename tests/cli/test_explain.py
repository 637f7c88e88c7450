"""``detzoo config NAME PATH`` and ``--explain``, and whether every field says what it is."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import typing
from typing import Annotated, Any, Literal

from detzoo.checkpoints.catalog import own_modules
from detzoo.cli.explain import field_docs
from detzoo.config import NonEmpty, PositiveInt, Range, UnitFloat, config
from tests.cli.conftest import Run, assert_refused

R50 = "retinanet_r50_fpn_1x_coco"


@config
class Parent:
    """Summary.

    Args:
        kept: The ``parent``'s words: see :meth:`~detzoo.config.find`.
        changed: The parent's words.
    """

    kept: int = 1
    changed: int = 2


@config
class Child(Parent):
    """Goes on
    here.

    Not this.

    Args:
        changed: The child's words,
            which go on.
        own: One: two.

    Nor this.
    """

    kept: int = 3
    own: NonEmpty[UnitFloat] | PositiveInt = (1.0,)


def test_docs_of_fields_come_from_the_class_and_its_parents() -> None:
    assert field_docs(Child) == {
        "kept": "The `parent`'s words: see `detzoo.config.find`.",
        "changed": "The child's words, which go on.",
        "own": "One: two.",
    }


def config_fields() -> dict[str, tuple[Any, set[str]]]:
    """The classes of detzoo with the names of their fields, by ``module:Class``."""
    found = {}
    for name, module in own_modules().items():
        cls: Any = getattr(importlib.import_module(module), name)
        found[f"{module}:{name}"] = (cls, {field.name for field in dataclasses.fields(cls)})
    return found


def test_every_field_says_what_it_is() -> None:
    missing = []
    for name, (cls, fields) in config_fields().items():
        missing += [f"{name}.{field}" for field in sorted(fields - set(field_docs(cls)))]
    assert not missing, "without a line in Args:\n" + "\n".join(missing)


def test_what_is_said_is_of_fields_that_are_there() -> None:
    wrong = []
    for name, (cls, fields) in config_fields().items():
        wrong += [f"{name}.{field}" for field in sorted(set(field_docs(cls)) - fields)]
    assert not wrong, "in Args, but no field:\n" + "\n".join(wrong)


# Numbers that may be anything, as long as they are finite; the range of ``frozen_stages`` follows
# from the number of stages.
UNBOUNDED = {
    "CenterPad.fill",
    "CutOut.fill",
    "Pad.fill",
    "Rotate.center",
    "Rotate.degrees",
    "Rotate.fill",
    "Shear.fill",
    "Shear.slope",
    "Translate.fill",
    "Translate.pixels",
    "DeltaCoder.means",
    "Expand.fill",
    "InstaBoost.rotation_range",
    "LegacyDeltaCoder.means",
    "MaskIoUHeadConfig.logit_threshold",
    "MobileNetV2Config.frozen_stages",
    "ConvNeXtConfig.frozen_stages",
    "EfficientNetConfig.frozen_stages",
    "SwinConfig.frozen_stages",
    "Pixels.mean",
    "Pixels.padding",
    "RandomAffine.border",
    "RandomCenterCropPad.fill",
    "ResNetConfig.frozen_stages",
    "SinePositions.offset",
    "StagedConfig.frozen_stages",
}


def has_bare_number(annotation: Any) -> bool:
    """Whether ``annotation`` has an int or a float whose range it does not say."""
    if typing.get_origin(annotation) is Annotated:
        has_range = any(isinstance(item, Range) for item in annotation.__metadata__)
        return not has_range and has_bare_number(annotation.__origin__)
    if typing.get_origin(annotation) is Literal:
        return False
    return annotation in (int, float) or any(map(has_bare_number, typing.get_args(annotation)))


def test_every_number_says_its_range() -> None:
    bare = set()
    for cls, _ in config_fields().values():
        hints = typing.get_type_hints(cls, include_extras=True)
        for field in inspect.get_annotations(cls):
            if has_bare_number(hints[field]):
                bare.add(f"{cls.__name__}.{field}")
    assert bare == UNBOUNDED


# -------------------------------------------------------------------------------- the command


def lines(text: str) -> list[str]:
    """Without the alignment."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_choice_of_words(detzoo: Run) -> None:
    outcome = detzoo("config", R50, "--explain", "model.backbone.style")
    assert outcome.code == 0
    found = lines(outcome.out)
    assert found[0] == "model.backbone.style = 'pytorch'"
    assert "choices 'pytorch', 'caffe'" in found
    assert "default 'pytorch'" in found


def test_a_number(detzoo: Run) -> None:
    setting = ("--set", "data.repeats=3")
    outcome = detzoo("config", R50, "--explain", "data.repeats", *setting)
    assert lines(outcome.out)[0] == "data.repeats = 3"
    assert "type int" in lines(outcome.out)
    assert "default 1" in lines(outcome.out)


def test_a_part(detzoo: Run) -> None:
    found = lines(detzoo("config", R50, "--explain", "model.bbox_head.assigner").out)
    assert found[0] == "model.bbox_head.assigner = MaxIoUAssigner"
    assert any(line.startswith("choices ATSSAssigner, ") for line in found)
    assert any(line.startswith("MaxIoUAssigner: ") for line in found)
    assert any(line.startswith("negative_iou 0.4") for line in found)


def test_several_parts_and_one_of_them(detzoo: Run) -> None:
    found = lines(detzoo("config", R50, "--explain", "data.train_transforms").out)
    assert found[0] == "data.train_transforms = (Resize, Flip, Pad)"
    assert "default none; required" in found
    assert any(line.startswith("[1] Flip ") for line in found)
    found = lines(detzoo("config", R50, "--explain", "data.train_transforms[1]").out)
    assert found[0] == "data.train_transforms[1] = Flip"
    assert not any(line.startswith("default") for line in found)
    assert any(line.startswith("probability 0.5") for line in found)


def test_the_top_level(detzoo: Run) -> None:
    found = lines(detzoo("config", R50, "--explain").out)
    assert any(line.startswith("Experiment: ") for line in found)
    assert any(line.startswith("model SingleStageConfig") for line in found)
    assert any(line.endswith("... 80 in all)") or "... 80 in all) " in line for line in found)


def test_of_a_part_alone(detzoo: Run) -> None:
    assert detzoo("config", R50, "optimizer.lr").out == "optimizer.lr = 0.01\n"
    outcome = detzoo("config", R50, "optimizer", "--diff", "retinanet_r101_fpn_1x_coco")
    assert outcome.out == "# no difference\n"
    outcome = detzoo("config", R50, "model.backbone", "--diff", "retinanet_r101_fpn_1x_coco")
    assert outcome.out == "model.backbone.depth = 50  ->  101\n# 1 settings differ\n"
    outcome = detzoo("config", R50, "schedule.policy", "--json")
    assert '"type": "Step"' in outcome.out


def test_a_path_to_nowhere(detzoo: Run) -> None:
    for option in ((), ("--explain",)):
        assert_refused(
            detzoo("config", R50, "model.bakbone", *option),
            "model: SingleStageConfig has no field 'bakbone'; did you mean 'backbone'?",
        )
        assert_refused(
            detzoo("config", R50, "data.train_transforms[9]", *option),
            "data.train_transforms: has 3 elements, so no [9]",
        )
    assert_refused(detzoo("config", R50, "--explain", "--json"), "--explain: cannot be combined")


def test_types_of_a_kind(detzoo: Run) -> None:
    outcome = detzoo("config", "--types", "losses")
    assert outcome.code == 0, outcome
    lines = {line.split()[0]: line for line in outcome.out.splitlines() if line.strip()}
    assert "BoxLoss" in lines["GIoULoss"]
    assert "FocalLoss" in lines
    assert "BoxLoss" not in lines  # abstract
    outcome = detzoo("config", "--types", "BoxLoss")
    assert "GIoULoss" in outcome.out
    assert "FocalLoss" not in outcome.out
    assert "Mosaic" in detzoo("config", "--types", "transforms").out
    assert_refused(detzoo("config", "--types", "losse"), "--types losse", "backbones", "losses")
    assert_refused(detzoo("config"), "NAME: give a model")
