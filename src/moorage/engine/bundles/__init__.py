"""From an image config and a request to a runtime-spec bundle."""
