"""`python -m isheep_lib` is the command `isheep`."""

from isheep_lib.cli import main

if __name__ == "__main__":
    main(prog_name="isheep")
