"""The command line: one file per command group; commands parse, call one function and print."""
