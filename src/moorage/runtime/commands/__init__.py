"""The subcommands of moor-oci, one module each, loaded when asked for."""
