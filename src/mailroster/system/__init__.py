"""The only calls that touch this machine: files, locks, processes, sockets, clocks."""
