"""The host's commands, one file each."""
