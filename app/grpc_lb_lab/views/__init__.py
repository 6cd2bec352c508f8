"""The views of a finished report and of a run that happens now: files, pages, terminal."""
