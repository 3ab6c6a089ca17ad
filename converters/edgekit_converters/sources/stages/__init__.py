"""Scripts that another Python runs, the one that has the model's own framework: they import nothing of edgekit.

Each is started with one argument, a folder for large files, and talks as `stage_protocol` says.
"""
