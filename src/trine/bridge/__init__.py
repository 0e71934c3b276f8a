"""Contract bridge bidding: rules, deals, codecs, bots, training, measurement."""
