"""`python -m arriero`: the command line."""

from arriero.cli.main import main

main()
