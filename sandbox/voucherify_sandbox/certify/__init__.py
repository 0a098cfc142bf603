"""Find out how a live, throw-away project answers the open questions of the readings."""
