"""Configurations with classes of others: what a file names, and what opening it imports."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import detzoo
from detzoo.checkpoints import catalog
from detzoo.checkpoints.checkpoint import Checkpoint, read, save
from detzoo.config import ConfigError, config, from_dict, to_dict
from detzoo.data.transforms import Flip
from detzoo.errors import CheckpointError
from detzoo.experiment import Experiment
from tests.tiny import tiny_retinanet
from tests.train.tiny import make_data, tiny_experiment

DOCUMENT = Path(detzoo.__file__).parents[1] / "docs" / "extending.md"


def python_of_the_document(section: str) -> list[str]:
    """The blocks of Python under a heading."""
    _, _, text = DOCUMENT.read_text().partition(f"\n## {section}\n")
    return re.findall(r"```python\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder outside detzoo with ``own_parts/heads.py``, from which we work."""
    folder = tmp_path / "mine"
    (folder / "own_parts").mkdir(parents=True)
    (folder / "own_parts" / "__init__.py").touch()
    (folder / "own_parts" / "heads.py").write_text(
        python_of_the_document("A head and a transform in one file")[0]
    )
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    catalog._published.cache_clear()
    yield folder
    catalog._published.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "own_parts"]:
        del sys.modules[name]


def own_experiment() -> Experiment:
    """Of parts that only ``own_parts`` knows."""
    detzoo.import_modules(["own_parts.heads"])
    heads = sys.modules["own_parts.heads"]
    base = tiny_experiment()
    head = heads.QuietHeadConfig(num_convs=1, channels=8)
    data = replace(base.data, train_transforms=(*base.data.train_transforms, heads.Darken()))
    return replace(base, model=replace(base.model, bbox_head=head), data=data)  # type: ignore[call-arg]


# ------------------------------------------------------------------------------- detzoo's own


def test_the_table_has_every_class() -> None:
    """Each by a name of its own."""
    root = Path(detzoo.__file__).parent
    defined = [
        (node.name, ".".join(("detzoo", *path.relative_to(root).with_suffix("").parts)))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(decorator) == "config" for decorator in node.decorator_list)
    ]
    assert len(defined) > 200
    assert sorted(defined) == sorted(catalog.own_modules().items())
    for name, module in defined:
        cls = getattr(importlib.import_module(module), name)
        assert (name in catalog.config_classes()) != inspect.isabstract(cls)


def test_finding_the_table_imports_nothing() -> None:
    code = (
        "import sys; from detzoo.checkpoints.catalog import own_modules; "
        "assert own_modules()['ResNetConfig'] == 'detzoo.backbones.resnet'; "
        "print([m for m in ('torch', 'detzoo.backbones.resnet') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_imports_what_the_file_names_alone() -> None:
    code = (
        "import json, sys; from detzoo.checkpoints.catalog import config_classes; "
        "from detzoo.config import from_dict; "
        "from_dict(json.loads(sys.stdin.read()), config_classes()); "
        "print([m for m in sys.modules if m.startswith(('detzoo.zoo', 'detzoo.heads.query'))])"
    )
    text = json.dumps(to_dict(tiny_retinanet()))
    done = subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_abstract_classes_are_not_built() -> None:
    assert "BackboneConfig" in catalog.own_modules()
    assert "BackboneConfig" not in catalog.config_classes()
    with pytest.raises(ConfigError, match="unknown type 'BackboneConfig'"):
        from_dict({"type": "BackboneConfig"}, catalog.config_classes())


# ---------------------------------------------------------------------------------- of others


def test_the_same_process_opens_what_it_saved(package: Path) -> None:
    experiment = own_experiment()
    save("x.pt", Checkpoint(experiment, experiment.build_model().state_dict()))
    assert read("x.pt").experiment == experiment
    assert type(detzoo.load("x.pt").model).__name__ == "SingleStage"
    assert to_dict(experiment)["model"]["bbox_head"]["type"] == "own_parts.heads:QuietHeadConfig"


def test_the_document_is_right_about_python(package: Path) -> None:
    detzoo.import_modules(["own_parts.heads"])
    names: dict[str, Any] = {}
    exec(python_of_the_document("In Python")[0], names)
    assert type(names["experiment"].model.bbox_head).__name__ == "QuietHeadConfig"


def detzoo_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(detzoo.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); sys.argv[0] = 'detzoo'; "
    code += "from detzoo.cli.main import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.ci
def test_from_the_command_line(package: Path) -> None:
    """Trained, resumed, tested, and used in processes of their own; and without the module."""
    data = make_data(package / "data" / "train")
    assert len(data) == 8
    where = ["--data", "data/train/annotations.json", "--images", "data/train"]
    Path("mine.json").write_text(json.dumps(to_dict(own_experiment())))
    head = '{"type": "own_parts.heads:QuietHeadConfig", "factor": 0.25, "channels": 8}'
    setting = ["--set", f"model.bbox_head={head}"]
    train = ["train", "mine.json", *where, "--out", "run", "--device", "cpu"]
    own = ["--import", "own_parts.heads"]
    done = detzoo_command(*train, *own, *setting)
    assert done.returncode == 0, done.stderr
    done = detzoo_command(*train, *own, *setting, "--resume")
    assert done.returncode == 0, done.stderr
    done = detzoo_command("test", "run/last.pt", *where, *own)
    assert done.returncode == 0, done.stderr
    done = detzoo_command("predict", "run/last.pt", "data/train/0.png", *own)
    assert done.returncode == 0, done.stderr
    done = detzoo_command("predict", "run/last.pt", "data/train/0.png")
    assert done.returncode == 2
    assert "unknown type 'own_parts.heads:" in done.stderr
    assert "add --import own_parts.heads" in done.stderr
    assert "Traceback" not in done.stderr
    done = detzoo_command("predict", "run/last.pt", "data/train/0.png", "--import", "own_part")
    assert done.returncode == 2
    assert "--import own_part: there is no such module" in done.stderr


def test_opening_imports_nothing_that_was_not_named(package: Path) -> None:
    (package / "own_parts" / "hostile.py").write_text("raise SystemExit('imported')")
    content = {"type": "own_parts.hostile:Anything"}
    with pytest.raises(ConfigError, match=r"add --import own_parts\.hostile"):
        from_dict(content, catalog.config_classes())
    # A module that is there builds its config classes alone.
    for name in ("os:system", "subprocess:Popen", "detzoo.backbones.resnet:ResNetConfig"):
        with pytest.raises(ConfigError, match="no such config class"):
            from_dict({"type": name, "args": "x"}, catalog.config_classes())


def test_installed_packages_publish_their_modules(package: Path) -> None:
    experiment = own_experiment()
    save("x.pt", Checkpoint(experiment, experiment.build_model().state_dict()))
    for name in [name for name in sys.modules if name.startswith("own_parts")]:
        del sys.modules[name]
    with pytest.raises(CheckpointError, match=r"add --import own_parts\.heads"):
        read("x.pt")
    installed = package / "own_parts-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own_parts\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[detzoo.configs]\nheads = own_parts.heads\n")
    catalog._published.cache_clear()
    importlib.invalidate_caches()
    assert to_dict(read("x.pt").experiment) == to_dict(experiment)


def test_saving_refuses_what_nobody_could_open(tmp_path: Path) -> None:
    @config
    class Local(Flip):
        pass

    experiment = tiny_retinanet()
    data = replace(experiment.data, train_transforms=(Local(),))
    with pytest.raises(ConfigError, match="is defined in a function"):
        save(tmp_path / "x.pt", Checkpoint(replace(experiment, data=data), {}))
    assert list(tmp_path.iterdir()) == []
