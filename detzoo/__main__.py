"""``python -m detzoo`` is the ``detzoo`` command."""

from detzoo.cli.main import main

main()
