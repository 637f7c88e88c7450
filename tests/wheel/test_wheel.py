"""The wheel, away from the source: its files are complete, and it asks for what it needs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The oldest and the newest Python that PyTorch's tested versions are built for.
OLDEST, NEWEST = (3, 10), (3, 14)


def own_files() -> set[str]:
    """What the package holds in the source, as a wheel names it."""
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / "detzoo").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("detzoo", "pyproject.toml", "README.md", "LICENSE"):  # no build folder is left
        (source / name).symlink_to(ROOT / name)
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", folder]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, source], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.slow
@pytest.mark.ci
def test_wheel_has_every_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("detzoo/")}
    assert packed == own_files()


@pytest.mark.slow
@pytest.mark.ci
def test_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Of this environment, only its other packages are there: neither the source nor its path."""
    place = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*install, "--no-deps", wheel], check=True)
    own = next((place / "lib").glob("python*")) / "site-packages"
    # A path of packages alone: the editable install of the source is a hook, and stays behind.
    (own / "others.pth").write_text(sysconfig.get_path("purelib"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(*command: object) -> str:
        done = subprocess.run(
            list(map(str, command)),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    detzoo = place / "bin" / "detzoo"
    where = run(python, "-c", "import detzoo; print(detzoo.__file__)")
    assert where.startswith(str(place))
    assert "faster_rcnn_r50_fpn_1x_coco" in run(detzoo, "models")
    assert "model.backbone.depth = 50" in run(detzoo, "config", "faster_rcnn_r50_fpn_1x_coco")
    assert "--out" in run(detzoo, "quickstart", "--help")
    build = "import detzoo; detzoo.find('retinanet_mobilenetv2_fpn').experiment.build_model()"
    run(python, "-c", build)
    report = "from detzoo.report.page import Page; print(Page('x', []).to_html())"
    assert "<html" in run(python, "-c", report)
    assert Path(run(python, "-c", "from detzoo.ui.app import PAGE; print(PAGE)").strip()).is_file()


def sources() -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / "detzoo").rglob("*.py")):
        yield path, path.read_text(encoding="utf-8")


def test_syntax_is_that_of_the_oldest_python() -> None:
    """As far as the parser tells; ruff and mypy, which check more, have the same version."""
    for path, text in sources():
        ast.parse(text, path.name, feature_version=OLDEST)
    pyproject = (ROOT / "pyproject.toml").read_text()
    version = ".".join(map(str, OLDEST))
    assert f'requires-python = ">={version}"' in pyproject
    assert f'python_version = "{version}"' in pyproject
    assert f'target-version = "py{version.replace(".", "")}"' in pyproject


# What newer Pythons no longer have (https://docs.python.org/3/whatsnew), up to ``NEWEST``.
REMOVED = {
    *("asynchat", "asyncore", "distutils", "imp", "smtpd"),  # 3.12
    *("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "mailcap", "msilib"),  # 3.13
    *("nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu"),
    *("xdrlib", "lib2to3"),
}
# Of the syntax tree, removed in 3.14.
REMOVED_NODES = re.compile(r"\bast\.(?:Num|Str|Bytes|NameConstant|Ellipsis)\b")


def test_nothing_is_used_that_the_newest_python_lacks() -> None:
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            assert not {name.partition(".")[0] for name in names} & REMOVED, path
        assert not REMOVED_NODES.search(text), path
