from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detzoo.errors import ConfigError
from detzoo.mmdet.node import Node, Reading
from detzoo.mmdet.read_config import Files, read_config
from tests.mmdet.published import published_configs


def write(folder: Path, **files: str) -> Path:
    """Files called NAME.py; the path of the last one."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.write_text(text)
    return path


def read(folder: Path, **files: str) -> dict[str, Any]:
    return read_config(write(folder, **files))


def test_settings_change_those_of_the_base_and_keep_the_others(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        base="model = dict(backbone=dict(depth=50, strides=(1, 2)), neck=dict(type='FPN'))\nlr = 1",
        own="_base_ = 'base.py'\nmodel = dict(backbone=dict(depth=101))",
    )
    assert config == {
        "model": {"backbone": {"depth": 101, "strides": (1, 2)}, "neck": {"type": "FPN"}},
        "lr": 1,
    }


def test_delete_replaces_a_dictionary(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        base="runner = dict(type='Epochs', max_epochs=12)",
        own="_base_ = ['base.py']\nrunner = dict(_delete_=True, max_iters=9)",
    )
    assert config == {"runner": {"max_iters": 9}}


def test_elements_of_lists_change_by_number(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        base="stages = [dict(a=1, b=2), dict(a=3)]",
        own="_base_ = 'base.py'\nstages = {'0': dict(a=5), '1': dict(_delete_=True, c=6)}",
    )
    assert config == {"stages": [{"a": 5, "b": 2}, {"c": 6}]}
    with pytest.raises(ConfigError, match=r"stages\[2\]: the list has 2 elements"):
        read(tmp_path, own="_base_ = 'base.py'\nstages = {'2': dict(a=5)}")


def test_variables_of_the_file_and_of_its_bases(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        base="norm = dict(mean=[1, 2])\ndepth = 50",
        own=(
            "_base_ = 'base.py'\n"
            "work_dir = './runs/{{ fileBasenameNoExtension }}'\n"
            "train = [dict(type='Normalize', **{'mean': {{ _base_.norm.mean }}})]\n"
            "copies = {{ _base_.norm }}\n"
        ),
    )
    assert config["work_dir"] == "./runs/own"
    assert config["train"] == [{"type": "Normalize", "mean": [1, 2]}]
    assert config["copies"] == {"mean": [1, 2]}
    assert config["copies"] is not config["norm"]


def test_siblings_are_read_the_same_way(tmp_path: Path) -> None:
    folder = tmp_path / "configs" / "mine"
    folder.mkdir(parents=True)
    write(tmp_path / "configs", shared="mean = [1, 2]\n_own = 3\n")
    files = {
        "beside": "from ..shared import mean\nsize = (3, 4)",
        "own": "from beside import *\nfrom configs.shared import mean as again\nx = size[0]",
    }
    found = read_config(write(folder, **files))
    assert found == {"mean": [1, 2], "size": (3, 4), "again": [1, 2], "x": 3}
    with pytest.raises(ConfigError, match=r"own\.py: is its own base \(own\.py -> own\.py\)"):
        read(folder, own="from own import *")
    with pytest.raises(ConfigError, match=r"line 1: ValueError: beside has no nothing"):
        read(folder, own="from beside import nothing")


HOSTILE = [
    "import os, socket\nmodel = dict(type='RetinaNet')",
    "socket = __import__('socket')",
    "model = dict(type=open('/dev/null', 'w'))",
    "class Bomb:\n    def __reduce__(self):\n        return print, ('run',)",
    "x = 'a'.__reduce__()",
    "from os import *",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_file_is_refused(tmp_path: Path, text: str) -> None:
    message = r"^\S+own\.py: line 1: .* nothing is executed here\. .*--trust"
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, own=text)


def test_a_trusted_file_is_executed(tmp_path: Path) -> None:
    """With stand-ins for what it imports of MMDetection."""
    path = write(
        tmp_path,
        other="model = dict(type='RetinaNet', backbone=dict(depth=50))",
        beside="size = 7",
        own="import os\n"
        "from mmcv import Config\n"
        "from mmdet.datasets import DATASETS, CocoDataset\n"
        "from beside import size\n"
        "@DATASETS.register_module()\n"
        "class Mine(CocoDataset):\n"
        "    CLASSES = ('cat',)\n"
        "def f(): return 3\n"
        f"base = Config.fromfile({str(tmp_path / 'other.py')!r})\n"
        "model = base.model\n"
        "model.backbone.depth = f() + size\n"
        "__y = os.sep\n",
    )
    with pytest.raises(ConfigError, match="line 1: 'import os' is more than settings"):
        read_config(path)
    assert read_config(path, trust=True)["model"] == {
        "type": "RetinaNet",
        "backbone": {"depth": 10},
    }
    assert read_config(path, trust=True).keys() == {"base", "model", "size"}


def test_both_readers_agree_on_every_file_of_the_wheel() -> None:
    """Each file by itself, without its bases."""
    files = sorted(published_configs().rglob("*.py"))
    assert len(files) >= 632
    for file in files:
        assert Files(trust=False).variables(file, ()) == Files(trust=True).variables(file, ()), file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = (", "own.py: line 2: "),
        ("a = 1\nb = c\n", "own.py: line 2: NameError: name 'c' is not defined"),
        ("_base_ = 'nowhere.py'", "nowhere.py: no such configuration file .a _base_ of .*own.py"),
        ("_base_ = 'own.py'", r"is its own base \(own.py -> own.py\)"),
        ("_base_ = 'base.py'\ndepth = dict(a=1)", "depth: .* Add _delete_=True"),
        ("_base_ = 'base.py'\nx = {{ _base_.width }}", "_base_.width: no base file defines it"),
        ("_base_ = ['base.py', 'other.py']", "two of its _base_ files define depth"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, base="depth = 50", other="depth = 101", own=text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_base_ = 5", "_base_: 5 is no file name"),
        ("_base_ = ['base.py', None]", "is no file name, nor a list"),
        ("_base_ = dict(a=1)", "is no file name, nor a list"),
        ("_base_ = 'a\\0b.py'", "is no path of a file|cannot be read"),
        ("_base_ = 'x' * 5000", "cannot be read|is no path"),
        ("_base_ = '.'", "cannot be read"),
        ("x = []\nx.append(x)", "x: settings are nested too deeply"),
        ("x = {}\nx['y'] = x", r"x\.y.*settings are nested too deeply"),
        ("_base_ = 'base.py'\na = {'\u00b2': 3}", "settings by name are to change"),
        ("_base_ = 'base.py'\na = {'" + "9" * 5000 + "': 3}", "settings by name are to change"),
    ],
)
def test_odd_values_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, base="a = [1, 2]", own=text)
    assert "own.py" in str(caught.value)


def test_names_of_settings_are_text(tmp_path: Path) -> None:
    """Of those that mean something: other variables of a file are its author's own."""
    path = write(tmp_path, own="model = dict(type='RetinaNet', backbone={3: 4})\nmine = {1: 2}")
    assert read_config(path)["mine"] == {1: 2}
    with pytest.raises(ConfigError, match=r"own\.py: .*has the key 3; the names of settings"):
        Node(read_config(path)["model"]["backbone"], "model.backbone", Reading(str(path)))
