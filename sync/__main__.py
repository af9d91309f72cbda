"""`python -m sync`: the same program as the command `personas-sync`."""

from sync.cli import main

if __name__ == "__main__":
    main()
