"""The command line: options, screens and exit codes; the work is done further down."""
