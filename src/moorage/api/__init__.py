"""The Engine API as data: the endpoint table, its models, and its wire codecs."""
