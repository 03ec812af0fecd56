"""Go's text templates, as far as ``--format`` needs them."""
