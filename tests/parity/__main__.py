"""``python -m tests.parity [DIR] [--names PATTERN ...] [--json FILE]``.

The float32 numbers of some random models are no one's: MMDetection's own code, on another version
of torch, misses its own references by more than the tolerance. What it computes for these in
float64 is in ``tests/golden/float64``, where nothing hangs on the last digit of a score: a model
that misses its reference in float32 must meet that one.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from detzoo import zoo
from detzoo.errors import UserError
from detzoo.experiment import Experiment
from tests.parity.check import check_names, check_numbers, check_same_model
from tests.parity.compare import Finding
from tests.parity.recipes import check_recipe, read_recipes
from tests.parity.reference import Reference

IN_DOUBLE = Path(__file__).parents[1] / "golden" / "float64"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line per model and a last line with counts; 0 if everything passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/parity"))
    parser.add_argument("--names", nargs="+", default=["*"], help="patterns of folder/name")
    parser.add_argument("--json", type=Path, help="write the findings here")
    options = parser.parse_args(arguments)
    index_path = options.folder / "index.json"
    if not index_path.is_file():
        print(f"{index_path}: no such file; give the folder of the references", file=sys.stderr)
        return 2
    index = json.loads(index_path.read_text())
    recipes = read_recipes(options.folder)
    keys = _matching(options.names, index, recipes)
    unmatched = [p for p in options.names if not fnmatch.filter(keys, p)]
    if unmatched:
        print(f"no reference is called {' or '.join(unmatched)}", file=sys.stderr)
        return 1

    results: dict[str, list[Finding]] = {}
    by_file: dict[str | None, list[str]] = defaultdict(list)
    for key in keys:
        by_file[index.get(key)].append(key)
    for file, members in by_file.items():
        if file is None:
            for key in members:
                results[key] = _guarded(_check_recipe_only, key, recipes)
                print(_line(key, results[key]), flush=True)
            continue
        reference = Reference.read(options.folder / file)
        for key in members:
            results[key] = _guarded(_check_entry, key, reference, recipes)
            print(_line(key, results[key]), flush=True)
        stem = file.removesuffix(".npz")
        findings = _guarded(_check_model, reference)
        results[f"{stem} (numbers)"] = findings
        print(_line(f"{stem} (numbers)", findings), flush=True)
        if not _passed(findings) and (IN_DOUBLE / file).is_file():
            findings = _guarded(_check_model, Reference.read(IN_DOUBLE / file))
            results[f"{stem} (float64)"] = findings
            print(_line(f"{stem} (float64)", findings), flush=True)
    if options.json:
        options.json.write_text(json.dumps(_report(results), indent=1))
    print(_summary(len(keys), results))
    return 1 if _failed(results) else 0


def _failed(results: dict[str, list[Finding]]) -> list[str]:
    """What is wrong: what missed its reference and did not meet that in float64."""
    doubles = {name.replace("(float64)", "(numbers)") for name in _in_double(results)}
    return [n for n, findings in results.items() if not _passed(findings) and n not in doubles]


def _in_double(results: dict[str, list[Finding]]) -> list[str]:
    return [name for name in results if name.endswith(" (float64)")]


def _passed(findings: list[Finding]) -> bool:
    return all(finding.passed for finding in findings)


def _summary(configurations: int, results: dict[str, list[Finding]]) -> str:
    failed, doubles = _failed(results), _in_double(results)
    models = sum(1 for name in results if name.endswith(" (numbers)"))
    text = f"{configurations} configurations, {models} models compared: "
    text += f"{len(results) - len(doubles) - len(failed)} passed"
    met = [name for name in doubles if name not in failed]
    if met:
        text += f", {len(met)} of them in float64 alone"
    text += f", {len(failed)} failed"
    return text + (f" ({', '.join(failed)})" if failed else "")


def _matching(
    patterns: Iterable[str], index: dict[str, str], recipes: dict[str, Any] | None
) -> list[str]:
    """Keys of the index; of the entries without a reference, those that only have a recipe."""
    recorded = recipes["configurations"] if recipes else {}
    ours = {f"{f.folder}/{e.name}" for f in zoo.families() for e in f.entries}
    keys = list(index) + [key for key in recorded if key not in index and key in ours]
    return [key for key in keys if any(fnmatch.fnmatchcase(key, p) for p in patterns)]


def _check_entry(key: str, reference: Reference, recipes: dict[str, Any] | None) -> list[Finding]:
    experiment = _find(key)
    findings = [
        check_names(experiment, reference),
        check_same_model(experiment, _experiment_of(reference)),
    ]
    return findings + ([check_recipe(experiment, key, recipes)] if recipes else [])


def _check_recipe_only(key: str, recipes: dict[str, Any] | None) -> list[Finding]:
    assert recipes is not None
    return [check_recipe(_find(key), key, recipes)]


def _check_model(reference: Reference) -> list[Finding]:
    return check_numbers(_experiment_of(reference), reference)


def _find(key: str) -> Experiment:
    folder, name = key.split("/", 1)
    entry = zoo.find(name)
    if zoo.family_of(entry).folder != folder:
        raise UserError(f"{name} is not in the folder {folder}")
    return entry.experiment


def _experiment_of(reference: Reference) -> Experiment:
    return zoo.find(reference.entry_name).experiment


def _guarded(check: Callable[..., list[Finding]], *arguments: Any) -> list[Finding]:
    """A model that cannot be built or run is a failure, not the end."""
    try:
        return check(*arguments)
    except UserError as error:
        return [Finding("entry", float("inf"), str(error))]
    except Exception as error:
        traceback.print_exc()
        return [Finding("error", float("inf"), f"{type(error).__name__}: {error}")]


def _line(name: str, findings: list[Finding]) -> str:
    parts = [
        f"{f.what} {f.deviation:.1e}" if f.passed else f"{f.what} FAILED: {f.problem}"
        for f in findings
    ]
    verdict = "pass" if _passed(findings) else "FAIL"
    return f"{verdict}  {name}: {', '.join(parts)}"


def _report(results: dict[str, list[Finding]]) -> dict[str, Any]:
    return {
        name: [
            {
                "what": f.what,
                "deviation": f.deviation if math.isfinite(f.deviation) else None,
                "passed": f.passed,
                "problem": f.problem,
            }
            for f in findings
        ]
        for name, findings in results.items()
    }


if __name__ == "__main__":
    sys.exit(main())
