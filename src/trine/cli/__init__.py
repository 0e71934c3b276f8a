"""The `trine` command: starts runs, shows what is in them, and holds no maths.

Every module here is light: numpy and everything that needs it is imported inside the commands, so
that `--help` answers at once (a test watches over it).
"""
