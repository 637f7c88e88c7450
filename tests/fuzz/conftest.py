"""The rule that all readers keep, and how long it is tried to break it."""

from __future__ import annotations

import contextlib
import io
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from detzoo.cli.main import run
from detzoo.errors import UserError

T = TypeVar("T")

_COMMON = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    report_multiple_bugs=False,  # they take long to make small
)
settings.register_profile("brief", _COMMON, max_examples=60, derandomize=True)
settings.register_profile("long", _COMMON, max_examples=600, derandomize=False)


def _is_slow_run(config: pytest.Config) -> bool:
    return config.option.markexpr.startswith("slow")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if _is_slow_run(config) else "brief")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The same tests are part of the default run, briefly, and of the slow one."""
    if _is_slow_run(config):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.slow)


class Rule:
    """Whatever a file holds: it is read rightly, or refused in words. Any other end is a fault."""

    def read(self, reader: Callable[..., T], *arguments: Any) -> T | None:
        """What ``reader`` returns, None where it refuses."""
        try:
            return reader(*arguments)
        except UserError as error:
            refusal = str(error)
        assert refusal.strip()
        return None

    def run(self, *arguments: object) -> int:
        """The exit code of a command: 0 done, 1 with inputs left out or faults found, 2 refused."""
        command = ["detzoo", *map(str, arguments)]
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict") for _ in range(2))
        code: int | str | None = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", command)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    run()
                except SystemExit as error:
                    code = error.code
        assert code in (None, 0, 1, 2), code
        for stream in (out, err):
            stream.flush()
        if code == 2:
            assert err.buffer.getvalue(), "a refusal without a word"  # type: ignore[attr-defined]
        return int(code or 0)


@pytest.fixture(scope="session", autouse=True)
def little_memory() -> Iterator[None]:
    """A file that would fill the memory is a fault of its test, not the end of all processes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 4 * 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="session")
def rule() -> Rule:
    return Rule()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the inputs of one test after another are written."""
    return tmp_path_factory.mktemp("fuzz")
