"""The command line: one file per command, each only reading arguments and showing results."""
