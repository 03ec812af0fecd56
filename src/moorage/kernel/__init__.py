"""One thin module per kernel facility: system calls with their own names, no policy."""
