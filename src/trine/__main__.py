"""`python -m trine`: the command where its script is not on the path."""

from trine.cli.app import main

if __name__ == "__main__":
    main()
