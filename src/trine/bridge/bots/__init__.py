"""Bidders: anything with `calls(observations) -> calls`, see `trine.bridge.bots.base`."""
