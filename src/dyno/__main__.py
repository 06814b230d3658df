"""`python -m dyno`."""

from dyno.cli.main import main

main()
