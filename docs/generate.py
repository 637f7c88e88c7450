"""Writes what follows from the code: the pages of the zoo, in English and in Chinese, the list that
``detzoo models`` shows, and tables within other pages.

python docs/generate.py          # counts the parameters of new entries
python docs/generate.py --all    # of all entries anew: minutes
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from detzoo import zoo
from detzoo.data.formats.table import FORMATS
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo_list import CHOICE, FILE, zoo_rows

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.side_by_side.task import SUBJECTS  # noqa: E402

HEADER = """\
# The model zoo

Every named configuration, by family, with the figures that MMDetection's V2 model zoo published:
box and mask AP in percent on the validation set of its data (AP50, AR of 1000 proposals, or
panoptic quality where it says so), training memory in GB per GPU and milliseconds per image on a
V100. Parameters are counted. `detzoo models` lists and filters the same. This page is generated;
see `docs/generate.py`.
"""
TABLE_START, TABLE_END = "<!-- The table of formats, by docs/generate.py -->", "<!-- end -->"
COLUMNS = ("name", "box AP", "mask AP", "memory", "ms", "parameters", "weights")
HEADER_ZH = """\
# 模型库

按系列列出所有命名的配置，以及 MMDetection V2 模型库公布的指标：
框 AP 与掩码 AP（百分数，在各自数据的验证集上；注明 AP50、AR
或 PQ 的，是 AP50、1000 个候选框的召回率或全景质量）、每块 GPU 的训练显存（GB）、
V100 上每张图的毫秒数。参数量是数出来的。
`detzoo models` 可以列出并筛选同样的内容。本页由 `docs/generate.py` 生成。
"""
COLUMNS_ZH = {
    "name": "名称",
    "box AP": "框 AP",
    "mask AP": "掩码 AP",
    "memory": "显存",
    "ms": "毫秒",
    "parameters": "参数量",
    "weights": "权重文件",
}
# What each family is about, in both languages.
IDEAS = yaml.safe_load((ROOT / "docs" / "families.yaml").read_text(encoding="utf-8"))
COUNT = re.compile(r"\b\d+(?= (?:of MMDetection's configurations|个配置))")
SPEED_START = "<!-- Speed, by docs/generate.py -->"
CHOICE_START = "<!-- Models to choose from, by docs/generate.py -->"
CHOICE_COLUMNS = ("name", "box AP", "mask AP", "parameters", "memory", "ms")


def main() -> None:
    known = {} if "--all" in sys.argv else {e.name: e.parameters for e in zoo.entries()}
    FILE.write_text(listing(count_parameters(known)))
    zoo_rows.cache_clear()
    (ROOT / "docs" / "zoo.md").write_text(page())
    (ROOT / "docs" / "zh" / "zoo.md").write_text(page_zh())
    for name, updated in (
        ("docs/data.md", data_page),
        ("docs/choose_model.md", choice_page),
        ("README.md", readme),
        ("README.zh-CN.md", readme),
    ):
        path = ROOT / name
        path.write_text(updated(path.read_text()))


def choice_page(text: str) -> str:
    """``docs/choose_model.md`` with the figures of the zoo and of the benchmarks."""
    seconds, about = cpu_seconds()
    lines = [*textwrap.wrap(about, 110), ""]
    for purpose, names in CHOICE.items():
        lines += [
            f"### {purpose}",
            "",
            f"| {' | '.join((*CHOICE_COLUMNS, 'our CPU, s'))} |",
            f"|{'---|' * (len(CHOICE_COLUMNS) + 1)}",
        ]
        for name in names:
            entry = zoo.find(name)
            cells = dict(zip(COLUMNS, _cells(entry)))
            shown = [cells[column] for column in CHOICE_COLUMNS]
            lines.append(f"| {' | '.join((*shown, seconds.get(name, '')))} |")
        lines.append("")
    return _between(text, CHOICE_START, lines)


def cpu_seconds() -> tuple[dict[str, str], str]:
    """Seconds per image in fp32 and bf16 of the models that ``benchmarks`` has measured, and how
    they were: all of the page, or else those that other toolboxes have, too.
    """
    chooser = ROOT / "benchmarks" / "results" / "chooser.json"
    if chooser.is_file():
        content = json.loads(chooser.read_text())
        rows = [(row["model"], row) for row in content["rows"]]
        machine = content["machine"]
        about = (
            "The last column is measured by us: seconds per image in float32 and bfloat16 on an "
            f"{machine['processor']} with {machine['threads']} threads, from an image of 640 x 480 "
            "pixels, resized as the model's recipe says, to about 100 objects "
            "(`python -m benchmarks.chooser`)."
        )
    else:
        ours = [row for row in _rows("inference") if row["toolbox"] == "detzoo"]
        rows = [(SUBJECTS[row["model"]].entry, row) for row in ours]
        about = (
            "The last column is measured by us: seconds per image in float32 and bfloat16 on two "
            "cores of an AMD EPYC, of one image of 1333 x 800 pixels or the recipe's size "
            "([how](benchmarks.md)); empty where nobody has measured."
        )
    found: dict[str, list[str]] = {}
    for name, row in rows:
        found.setdefault(name, []).append(f"{row['seconds']['median']:.2f}")
    return {name: " / ".join(values) for name, values in found.items()}, about


def readme(text: str) -> str:
    """A README with the number of MMDetection's configurations, and the seconds of detzoo and of
    torchvision for the same model and weights.
    """
    own = next(family for family in zoo.families() if family.folder == "light")
    count = len(zoo.entries()) - len(own.entries)
    text = COUNT.sub(str(count), text)
    lines = ["| | detzoo | torchvision | |", "|---|---|---|---|"]
    for job in ("inference", "training"):
        rows = [row for row in _rows(job) if row["precision"] == "fp32"]
        for model in dict.fromkeys(row["model"] for row in rows):
            by = {row["toolbox"]: row for row in rows if row["model"] == model}
            if "torchvision" in by:
                own, other = (by[name]["seconds"]["median"] for name in ("detzoo", "torchvision"))
                faster = by["detzoo"]["times_as_fast"]["median"]
                name = f"`{SUBJECTS[model].entry}`, {job}"
                lines.append(f"| {name} | {own:.2f} s | {other:.2f} s | {faster:.2f}x |")
    return _between(text, SPEED_START, lines)


def _rows(job: str) -> list[dict[str, Any]]:
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{job}.json").read_text())["rows"]
    return [row for row in rows if row["job"] == job]


def _between(text: str, start: str, lines: list[str]) -> str:
    """``text`` with ``lines`` in place of what is between ``start`` and the next end."""
    before, rest = text.split(f"{start}\n")
    return before + "\n".join([start, "", *lines, "", rest[rest.index(TABLE_END) :]])


def data_page(text: str) -> str:
    """``docs/data.md`` with the table of formats as the code has it now."""
    rows = [
        f"| {item.name} | {item.layout.replace('|', '/')} | {item.flags} | {item.given} |"
        for item in FORMATS
    ]
    table = [
        "| format | what is recognized | flags | `--data` |",
        "|---|---|---|---|",
        *sorted(rows, key=str.lower),
    ]
    return _between(text, TABLE_START, table)


def count_parameters(known: Mapping[str, int | None]) -> dict[str, int]:
    """Those of every entry; only what is not ``known`` is counted."""
    counts = {}
    for entry in zoo.entries():
        count = known.get(entry.name)
        if count is not None:
            counts[entry.name] = count
            continue
        with torch.device("meta"):
            model = entry.experiment.build_model()
        counts[entry.name] = sum(parameter.numel() for parameter in model.parameters())
    return counts


def listing(parameters: Mapping[str, int | None]) -> str:
    """A row per entry, so that the zoo can be listed without importing torch."""
    rows = [
        {
            "name": entry.name,
            "family": family.folder,
            "backbone": entry.backbone,
            "starts_from": entry.starts_from,
            "box_ap": entry.box_ap,
            "box_ap50": entry.box_ap50,
            "mask_ap": entry.mask_ap,
            "pq": entry.pq,
            "ar1000": entry.ar1000,
            "memory_gb": entry.memory_gb,
            "inference_ms": entry.inference_ms,
            "parameters": parameters[entry.name],
            "weights": entry.weights,
            "path": family.weights_path(entry),
        }
        for family in zoo.families()
        for entry in family.entries
    ]
    return json.dumps(rows, indent=0) + "\n"


def page() -> str:
    """The whole of ``docs/zoo.md``."""
    families = zoo.families()
    listed = ", ".join(f"[{f.title}](#{_anchor(f.title)})" for f in families)
    count = f"{len(zoo.entries())} configurations in {len(families)} families: {listed}.\n"
    sections = (_section(family, "en", COLUMNS) for family in families)
    return "\n".join([HEADER, count, *sections])


def page_zh() -> str:
    """The same in Chinese: ``docs/zh/zoo.md``."""
    families = zoo.families()
    listed = "、".join(f"[{f.title}](#{_anchor(f.title)})" for f in families)
    count = f"共 {len(zoo.entries())} 个配置，分属 {len(families)} 个系列：{listed}。\n"
    columns = tuple(COLUMNS_ZH.get(name, name) for name in COLUMNS)
    sections = (_section(family, "zh", columns) for family in families)
    return "\n".join([HEADER_ZH, count, *sections])


def _section(family: Family, language: str, columns: tuple[str, ...]) -> str:
    idea = IDEAS[family.folder][language]
    about = f"{idea} [{family.folder}]({family.paper})"
    return f"## {family.title}\n\n{about}\n\n{table(family, columns)}\n"


def table(family: Family, columns: tuple[str, ...] = COLUMNS) -> str:
    """The entries of a family, as Markdown."""
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*rows, *(f"| {' | '.join(_cells(entry))} |" for entry in family.entries)])


def _cells(entry: Entry) -> tuple[str, ...]:
    box = _figure(entry.box_ap)
    if entry.box_ap50 is not None:
        box = f"{entry.box_ap50:.1f} (AP50)"
    if entry.ar1000 is not None:
        box = f"{entry.ar1000:.1f} (AR)"
    if entry.pq is not None:
        box = f"{entry.pq:.1f} (PQ)"
    weights = "" if entry.weights is None else entry.weights.rsplit("/", 1)[-1]
    return (
        f"`{entry.name}`",
        box,
        _figure(entry.mask_ap),
        _figure(entry.memory_gb),
        _figure(entry.inference_ms),
        "" if entry.parameters is None else f"{entry.parameters / 1e6:.1f} M",
        f"`{weights}`" if weights else "",
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _anchor(title: str) -> str:
    """As the usual renderers of Markdown make anchors of headings."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    main()
