"""Go's text templates, as far as ``--format`` and log tags need them."""
