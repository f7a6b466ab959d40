"""The command line, one module a group of users; every one mounts into `perennial.cli`."""
