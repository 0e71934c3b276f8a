"""What every room of the house uses and none of them owns; no word of any domain.

Map:

* `errors`, `extras`: the tree of user errors with exit codes; optional features.
* `config`: defaults < TOML file < `--set a.b=value`, one frozen pydantic model.
* `runs`, `records`, `artifacts`, `locks`: run directories, metrics, atomic files, one at a time.
* `seeding`: one seed to named generators.
* `executors`, `sweep`, `progress`: many cells over processes, resumable, with a progress bar.
* `stats`, `tables`, `figures`, `report`: numbers to something a person reads.

Import the modules themselves; this package imports none of them, so that each costs only itself.
"""
