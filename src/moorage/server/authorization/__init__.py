"""Authorization plugins: programs beside the daemon that allow or deny requests."""
