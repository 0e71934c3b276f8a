"""Tabular games: build a tree once, then search it.

Map of the room:

* rules: `game` (protocols), `catalog` (games that come with Trine), `openspiel` (adapter)
* arrays: `tree`, `enumerate_public`, `enumerate_sequential`, `policy`
* measures: `values`, `best_response`, `density` (value-change decomposition)
* methods: `cfr`, `jps` (joint policy search), `best` (Trine's own search), `bad`, `a2c`,
  `exact` (proved optima)
* runs: `config`, `solve`, `paper` (published figures), `report`
"""
