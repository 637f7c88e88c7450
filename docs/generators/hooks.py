"""What MkDocs asks for while it builds the site: pages that are made of the code, and the files
outside ``docs`` that pages refer to."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from detzoo import zoo  # noqa: E402
from docs.generators import api, configuration, families  # noqa: E402

# Pages of the folder above, by where they are on the site.
ABOVE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"\]\(((?:\.\./)*)([\w./-]+\.(?:md|py|toml|html|js))(#[\w-]+)?\)")
# A line break between Chinese words, which would be shown as a space.
CHINESE_BREAK = re.compile(r"(?<=[\u3001\u3002\u4e00-\u9fff\uff00-\uffef])\n(?=[\u4e00-\u9fff])")
# As docs/zoo.md names the paper of a family.
PAPER = re.compile(r" \[([\w.+]+)\]\((https://[^)]+)\)$", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made, and examples to be downloaded."""
    made = {**configuration.pages(), **families.pages()}
    for source, path in ABOVE.items():
        made[path] = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    examples = (ROOT / "examples").glob
    for example in sorted((*examples("*.py"), *examples("web/*.html"), *examples("web/*.js"))):
        path = example.relative_to(ROOT).as_posix()
        files.append(File.generated(config, path, abs_src_path=str(example)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fills in the Python reference, and links to what is elsewhere on the site."""
    path = page.file.src_uri
    if path == "python.md":
        return api.fill(markdown)
    if path in ("zoo.md", "zh/zoo.md"):
        up = "../" * path.count("/")
        pages = {family.folder: families.path(family) for family in zoo.families()}
        words = "详情" if path.startswith("zh/") else "how to train it"
        markdown = PAPER.sub(lambda m: f" [{m[1]}]({m[2]}), [{words}]({up}{pages[m[1]]})", markdown)
    if path.startswith("zh/"):
        markdown = CHINESE_BREAK.sub("", markdown)
    return LINK.sub(lambda found: _on_the_site(found, path), markdown)


def _on_the_site(found: re.Match[str], page: str) -> str:
    """A link to a file above ``docs`` becomes one to its copy on the site."""
    ups, target, anchor = found[1], found[2], found[3] or ""
    depth = page.count("/")
    if ups.count("../") != depth + 1:
        return found[0]
    if target not in ABOVE and not target.startswith("examples/"):
        logging.getLogger("mkdocs.hooks").warning("%s: %s is not on the site", page, target)
    return f"]({'../' * depth}{ABOVE.get(target, target)}{anchor})"
