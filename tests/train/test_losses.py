from __future__ import annotations

from tests.train.test_distributed import run_processes


def test_losses_pass_through_distributed_training() -> None:
    """Also where torch looks for the parameters that a loss does not depend on."""
    for process in run_processes(2, [], module="tests.train.losses_worker"):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
