"""``python -m jshost`` is ``jshost``. Runs in: command line."""

from jshost.cli.main import main

if __name__ == "__main__":
    main()
