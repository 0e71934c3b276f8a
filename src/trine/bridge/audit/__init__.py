"""Counting what a bidder does badly: measures, their registry, rates and worst examples."""
