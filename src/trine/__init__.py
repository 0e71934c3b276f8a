"""Trine: games of imperfect information solved, shown and checked against the papers.

The rooms of the house:

* `trine.core`: configuration, run directories, sweeps, tables, figures and reports; no domain word.
* `trine.games`: tabular games as arrays, counterfactual regret minimisation, joint policy search.
* `trine.cli`: the `trine` command.

Importing `trine` itself costs nothing; import what you need from its rooms.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
