"""One page about what the warehouse holds and what the last runs did."""
