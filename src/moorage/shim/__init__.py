"""The process beside each container: its stdio, its log, its exit status."""
