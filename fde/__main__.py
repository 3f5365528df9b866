"""``python -m fde``: the command line, as torchrun starts it on every device."""

from fde.cli.main import main

if __name__ == "__main__":
    main()
