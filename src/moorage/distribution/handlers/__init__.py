"""The registry's answers, a module per noun of the specification."""
