"""Reports what mailroster would do with the folders of a docker-mailserver, before anything is
started. Nothing in this package changes a file."""
