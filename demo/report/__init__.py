"""The HTML report of the warehouse and the last runs."""
