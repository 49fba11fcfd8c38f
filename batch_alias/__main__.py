"""``python -m batch_alias``."""

from batch_alias.cli import main

main()
