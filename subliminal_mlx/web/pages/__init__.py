"""What stands behind the app's views: checked values in, plain rows and texts out. No widgets here.

Charts come from `charts`, numbers from `results` and the lab; the app adds words and widgets. Nothing
that takes longer than a moment is done in the server: `background` has a process for it, `jobs` the queue.
"""
