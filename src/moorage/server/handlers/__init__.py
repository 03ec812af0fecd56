"""One module of handlers per noun of the Engine API."""
