from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest

from detzoo.config import (
    Channels,
    ConfigError,
    Interval,
    NonEmpty,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    ScoreThreshold,
    UnitFloat,
    check,
    config,
    diff,
    from_dict,
    leaves,
    override,
    to_dict,
    type_name,
)


@config
class Layer(ABC):
    @abstractmethod
    def size(self) -> int: ...


@config
class Conv(Layer):
    channels: int
    kernel: int = 3
    stride: tuple[int, int] = (1, 1)

    def size(self) -> int:
        return self.channels


@config
class MaxPool(Layer):
    def size(self) -> int:
        return 0


@config
class ResNet:
    depth: Literal[18, 34, 50, 101, 152] = 50
    style: Literal["pytorch", "caffe"] = "pytorch"
    stem: Layer = Conv(channels=64)
    frozen_stages: int = 1
    pretrained: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.frozen_stages <= 4:
            raise ConfigError(f"frozen_stages: {self.frozen_stages} is not in 0 ... 4")


@config
class Model:
    backbone: ResNet = ResNet()
    layers: tuple[Layer, ...] = (Conv(channels=8), MaxPool())
    rate: float = 0.5
    limit: float | None = None
    scales: tuple[float, ...] = (1.0, 2.0)
    sizes: tuple[tuple[int, int], ...] = ((800, 1333),)
    choice: int | tuple[int, ...] = 3
    maybe: tuple[int | None, ...] = (None, 1)
    enabled: bool = True
    note: str = ""


CLASSES = (Conv, MaxPool, ResNet, Model)
# By short names as detzoo's own have, and by those that classes of others have.
KNOWN: dict[str, type] = {c.__name__: c for c in CLASSES}
KNOWN |= {type_name(c): c for c in CLASSES}


def fails(function: Callable[..., object], *args: object, **kwargs: object) -> str:
    with pytest.raises(ConfigError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


# ---------------------------------------------------------------- the decorator and the saved form


def test_configs_are_frozen_and_keyword_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Conv(channels=1).channels = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Conv(1)  # type: ignore[misc]


def test_a_field_called_type_would_clash_with_the_saved_form() -> None:
    with pytest.raises(TypeError, match="'type' is the class name"):

        @config
        class Wrong:
            type: int = 0


def test_saved_form() -> None:
    assert to_dict(Model(layers=(MaxPool(),), note="x")) == {
        "type": "tests.test_config:Model",
        "backbone": {
            "type": "tests.test_config:ResNet",
            "depth": 50,
            "style": "pytorch",
            "stem": {
                "type": "tests.test_config:Conv",
                "channels": 64,
                "kernel": 3,
                "stride": [1, 1],
            },
            "frozen_stages": 1,
            "pretrained": None,
        },
        "layers": [{"type": "tests.test_config:MaxPool"}],
        "rate": 0.5,
        "limit": None,
        "scales": [1.0, 2.0],
        "sizes": [[800, 1333]],
        "choice": 3,
        "maybe": [None, 1],
        "enabled": True,
        "note": "x",
    }


@pytest.mark.parametrize(
    "model",
    [
        Model(),
        Model(layers=(), choice=(1, 2), limit=1e30, backbone=ResNet(stem=MaxPool())),
    ],
)
def test_round_trip(model: Model) -> None:
    assert from_dict(to_dict(model), KNOWN) == model
    check(model, KNOWN)


def test_missing_fields_take_their_defaults_and_integers_become_numbers() -> None:
    read = from_dict({"type": "Model", "rate": 1}, KNOWN)
    assert read == Model(rate=1.0)
    assert type(read.rate) is float


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "Modle"}, "configuration: unknown type 'Modle'; did you mean 'Model'?"),
        ({"type": []}, "configuration: unknown type []"),
        ({"type": "Layer"}, "configuration: unknown type 'Layer'"),
        ([], "configuration: expected an object with a 'type'"),
        ({"depth": 50}, "configuration: expected an object with a 'type'"),
        ({"type": "Conv"}, "channels: missing, and it has no default"),
        (
            {"type": "Conv", "chanels": 1},
            "Conv: Conv has no field 'chanels'; did you mean 'channels'? "
            "(fields: channels, kernel, stride)",
        ),
        (
            {"type": "Model", "backbone": {"type": "ResNet", 7: 1}},
            "backbone: ResNet has no field '7' "
            "(fields: depth, style, stem, frozen_stages, pretrained)",
        ),
        ({"type": "MaxPool", "k": 1}, "MaxPool: MaxPool has no field 'k' (it has no fields)"),
        (
            {"type": "Model", "backbone": {"type": "MaxPool"}},
            "backbone: MaxPool is not a ResNet",
        ),
        (
            {"type": "Model", "backbone": {"type": "ResNet", "stem": {"type": "os.system"}}},
            "backbone.stem: unknown type 'os.system'",
        ),
        (
            {"type": "Model", "backbone": {"type": "ResNet", "frozen_stages": 9}},
            "backbone.frozen_stages: 9 is not in 0 ... 4",
        ),
        ({"type": "Model", "enabled": 1}, "enabled: 1 is not true or false"),
        ({"type": "Model", "rate": True}, "rate: True is not a number"),
        (
            {"type": "Model", "sizes": [[1, 2, 3]]},
            "sizes[0]: [1, 2, 3] has 3 elements instead of 2",
        ),
        ({"type": "Model", "sizes": [[1, "2"]]}, "sizes[0][1]: '2' is not an integer"),
        ({"type": "Model", "sizes": 800}, "sizes: 800 is not a sequence"),
        ({"type": "Model", "limit": "big"}, "limit: 'big' is not a number"),
        (
            {"type": "Model", "choice": "x"},
            "choice: 'x' is not an integer or tuple[int, ...]",
        ),
        ({"type": "Model", "choice": [1, "x"]}, "choice[1]: 'x' is not an integer"),
    ],
)
def test_what_cannot_be_read(data: object, message: str) -> None:
    assert fails(from_dict, data, KNOWN) == message


def test_only_listed_classes_are_built() -> None:
    assert fails(from_dict, {"type": "Conv", "channels": 1}, {}) == (
        "configuration: unknown type 'Conv'"
    )


def test_check_finds_a_value_of_the_wrong_type() -> None:
    assert fails(check, Model(rate="fast"), KNOWN) == "rate: 'fast' is not a number"  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- ranges of numbers


@config
class Ranges:
    count: PositiveInt = 1
    index: NonNegativeInt = 0
    size: PositiveFloat = 1.0
    eps: NonNegativeFloat = 0.0
    fraction: UnitFloat = 0.5
    channels: Channels = 256
    largest: Annotated[float, Range(max=3)] = 0.0
    inner: Annotated[float, Range(0, 1, above=True)] = 0.5
    score: ScoreThreshold = 0.5
    plain: float = 0.0
    optional: PositiveInt | None = None
    pair: tuple[PositiveInt, float] = (1, 0.0)
    table: tuple[tuple[UnitFloat, ...], ...] = ()
    either: PositiveInt | tuple[NonNegativeInt, ...] = 1
    some: NonEmpty[PositiveInt] = (1,)
    scales: Interval[PositiveFloat] = (0.5, 2.0)


@config
class MoreRanges(Ranges):
    """Its own check divides by a field of the parent, which is checked before."""

    divisor: PositiveInt = 1

    def __post_init__(self) -> None:
        if 1 / self.divisor + 1 / self.count < 1:
            raise ConfigError("divisor: is too large")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", 0, "count: 0 is not at least 1"),
        ("index", -1, "index: -1 is not at least 0"),
        ("size", 0.0, "size: 0.0 is not greater than 0"),
        ("size", float("inf"), "size: inf is not a finite number"),
        ("size", float("nan"), "size: nan is not a finite number"),
        ("eps", -1e-9, "eps: -1e-09 is not at least 0"),
        ("fraction", 1.5, "fraction: 1.5 is not at most 1"),
        ("channels", 10**9, "channels: 1000000000 is not at most 65536"),
        ("largest", 4.0, "largest: 4.0 is not at most 3"),
        ("inner", 0.0, "inner: 0.0 is not greater than 0"),
        ("score", 1.0, "score: 1.0 is not less than 1"),
        ("plain", float("nan"), "plain: nan is not a finite number"),
        ("plain", float("-inf"), "plain: -inf is not a finite number"),
        ("optional", 0, "optional: 0 is not at least 1"),
        ("pair", (0, 0.0), "pair[0]: 0 is not at least 1"),
        ("pair", (1, float("inf")), "pair[1]: inf is not a finite number"),
        ("table", ((), (0.0, 2.0)), "table[1][1]: 2.0 is not at most 1"),
        ("either", 0, "either: 0 is not at least 1"),
        ("either", (0, -1), "either[1]: -1 is not at least 0"),
        ("some", (), "some: () does not have at least 1 element"),
        ("scales", (2.0, 1.0), "scales: (2.0, 1.0) is not in ascending order"),
        ("scales", (0.0, 1.0), "scales[0]: 0.0 is not greater than 0"),
        ("some", (1, 0), "some[1]: 0 is not at least 1"),
    ],
)
def test_a_number_out_of_its_range(field: str, value: Any, message: str) -> None:
    """However the configuration is made, of the class itself or of a subclass."""
    for cls in (Ranges, MoreRanges):
        assert fails(lambda cls=cls: cls(**{field: value})) == message
        assert fails(dataclasses.replace, cls(), **{field: value}) == message
    known: dict[str, type] = {"R": Ranges, "H": RangesHolder}
    data = {"type": "H", "held": {"type": "R", field: to_dict(value)}}
    assert fails(from_dict, data, known) == f"held.{message}"
    assert fails(override, RangesHolder(), f"held.{field}", value, known) == f"held.{message}"


@config
class RangesHolder:
    held: Ranges = Ranges()


def test_numbers_in_their_range() -> None:
    Ranges(optional=1, table=((0.0, 1.0),), either=(0,), largest=3.0, inner=1.0, channels=65536)
    assert MoreRanges(divisor=1).count == 1
    assert fails(lambda: MoreRanges(divisor=3, count=3)) == "divisor: is too large"


# -------------------------------------------------------------------------------------- override


@pytest.mark.parametrize(
    ("path", "new", "expected"),
    [
        ("backbone.depth", "18", Model(backbone=ResNet(depth=18))),
        ("backbone.depth", 101, Model(backbone=ResNet(depth=101))),
        ("backbone.style", "caffe", Model(backbone=ResNet(style="caffe"))),
        ("backbone.style", "'caffe'", Model(backbone=ResNet(style="caffe"))),
        ("backbone.pretrained", "18", Model(backbone=ResNet(pretrained="18"))),
        ("backbone.pretrained", "a/b.pth", Model(backbone=ResNet(pretrained="a/b.pth"))),
        ("backbone.pretrained", "None", Model()),
        (
            "backbone.stem.stride[1]",
            "2",
            Model(backbone=ResNet(stem=Conv(channels=64, stride=(1, 2)))),
        ),
        ("backbone.stem", '{"type": "MaxPool"}', Model(backbone=ResNet(stem=MaxPool()))),
        ("backbone.stem", MaxPool(), Model(backbone=ResNet(stem=MaxPool()))),
        ("layers[0].kernel", "5", Model(layers=(Conv(channels=8, kernel=5), MaxPool()))),
        ("layers[0]", '{"type": "MaxPool"}', Model(layers=(MaxPool(), MaxPool()))),
        ("layers", "[]", Model(layers=())),
        ("rate", "1", Model(rate=1.0)),
        ("rate", "1e-3", Model(rate=0.001)),
        ("rate", " 2 ", Model(rate=2.0)),
        ("limit", "1e30", Model(limit=1e30)),
        ("limit", "null", Model()),
        ("scales", "(3,)", Model(scales=(3.0,))),
        ("scales[1]", "3", Model(scales=(1.0, 3.0))),
        ("sizes[0][1]", "7", Model(sizes=((800, 7),))),
        ("sizes[0]", "[1, 2]", Model(sizes=((1, 2),))),
        ("choice", "[1, 2]", Model(choice=(1, 2))),
        ("maybe[0]", "5", Model(maybe=(5, 1))),
        ("enabled", "false", Model(enabled=False)),
        ("enabled", "False", Model(enabled=False)),
        ("note", "3", Model(note="3")),
        ("note", "none", Model(note="none")),
        ("note", "", Model()),
    ],
)
def test_override(path: str, new: object, expected: Model) -> None:
    changed = override(Model(), path, new, KNOWN)
    assert changed == expected
    assert diff(changed, expected) == []


def test_json_from_the_command_line() -> None:
    text = '{"type": "ResNet", "pretrained": null, "stem": {"type": "MaxPool"}}'
    changed = override(Model(), "backbone", text, KNOWN)
    assert changed.backbone == ResNet(stem=MaxPool())


def test_element_of_a_tuple_in_a_union() -> None:
    assert override(Model(choice=(1, 2)), "choice[1]", "9", KNOWN).choice == (1, 9)


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        (
            "backbone.dpeth",
            "18",
            "backbone: ResNet has no field 'dpeth'; did you mean 'depth'? "
            "(fields: depth, style, stem, frozen_stages, pretrained)",
        ),
        (
            "backbone.type",
            "VGG",
            "backbone: the class of ResNet cannot be changed by its 'type' alone; replace all of "
            "it: "
            'backbone={"type": "...", ...}',
        ),
        ("backbone.depth", "51", "backbone.depth: 51 is not one of 18, 34, 50, 101, 152"),
        ("backbone.depth", "18.0", "backbone.depth: 18.0 is not one of 18, 34, 50, 101, 152"),
        ("backbone.style", "tf", "backbone.style: 'tf' is not one of pytorch, caffe"),
        ("backbone.frozen_stages", "7", "backbone.frozen_stages: 7 is not in 0 ... 4"),
        ("backbone.depth.x", "1", "backbone.depth: 50 has no fields, so no 'x'"),
        ("backbone[0]", "1", "backbone: ResNet has no elements"),
        ("layers[2].kernel", "1", "layers: has 2 elements, so no [2]"),
        ("layers[0].kernel", "x", "layers[0].kernel: 'x' is not an integer"),
        ("scales[0]", "x", "scales[0]: 'x' is not a number"),
        ("layers[0]", '{"type": "ResNet"}', "layers[0]: ResNet is not a Layer"),
        ("rate", "[1", "rate: '[1' is not a number"),
        ("limit", "inf", "limit: 'inf' is not a number"),
        ("limit", "1e999", "limit: inf is not a finite number"),
        ("limit", "1" + 400 * "0", "limit: is too large a number"),
        ("rate", "{[]: 1}", "rate: '{[]: 1}' is not a number"),
        ("sizes", "(1, 2)", "sizes[0]: 1 is not a sequence"),
        (
            "backbone.stem",
            '{"type": "Conf", "channels": 1}',
            "backbone.stem: unknown type 'Conf'; did you mean 'Conv'?",
        ),
    ],
)
def test_what_cannot_be_overridden(path: str, new: str, message: str) -> None:
    assert fails(override, Model(), path, new, KNOWN) == message


@pytest.mark.parametrize("path", ["", "a.", ".a", "a[", "a[-1]", "a[x]", "a b", "a=b"])
def test_a_malformed_path(path: str) -> None:
    assert "not a path" in fails(override, Model(), path, "1", KNOWN)


# ------------------------------------------------------------------------------ diff and leaves


def test_diff_of_equal_configs_is_empty() -> None:
    assert diff(Model(), Model()) == []


def test_diff_goes_as_deep_as_the_types_agree() -> None:
    a = Model(rate=0.1, layers=(Conv(channels=8), MaxPool()))
    b = Model(
        rate=0.2,
        layers=(Conv(channels=9), Conv(channels=1)),
        backbone=ResNet(stem=MaxPool()),
        scales=(1.0,),
    )
    assert diff(a, b) == [
        ("backbone.stem", Conv(channels=64), MaxPool()),
        ("layers[0].channels", 8, 9),
        ("layers[1]", MaxPool(), Conv(channels=1)),
        ("rate", 0.1, 0.2),
        ("scales", (1.0, 2.0), (1.0,)),
    ]


def test_diff_of_tuples_of_different_length_is_one_row() -> None:
    a, b = Model(), Model(layers=(MaxPool(),))
    assert diff(a, b) == [("layers", a.layers, b.layers)]


def test_diff_tells_an_integer_from_a_number() -> None:
    assert diff(Model(rate=1.0), Model(rate=1)) == [("rate", 1.0, 1)]


def test_leaves_in_order() -> None:
    assert list(leaves(Model(layers=(Conv(channels=8), MaxPool())))) == [
        ("backbone.depth", 50),
        ("backbone.style", "pytorch"),
        ("backbone.stem.channels", 64),
        ("backbone.stem.kernel", 3),
        ("backbone.stem.stride", (1, 1)),
        ("backbone.frozen_stages", 1),
        ("backbone.pretrained", None),
        ("layers[0].channels", 8),
        ("layers[0].kernel", 3),
        ("layers[0].stride", (1, 1)),
        ("layers[1]", MaxPool()),
        ("rate", 0.5),
        ("limit", None),
        ("scales", (1.0, 2.0)),
        ("sizes", ((800, 1333),)),
        ("choice", 3),
        ("maybe", (None, 1)),
        ("enabled", True),
        ("note", ""),
    ]


def test_every_leaf_can_be_overridden_with_its_own_text() -> None:
    model = Model(note="it's 3", limit=1e30, backbone=ResNet(pretrained="None?"))
    for path, value in leaves(model):
        text = str(to_dict(value)) if dataclasses.is_dataclass(value) else repr(value)
        assert override(model, path, text, KNOWN) == model, path
