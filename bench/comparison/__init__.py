"""The same work on Moorage and on genuine Docker, alternated in one run."""
