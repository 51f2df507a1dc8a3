"""What was brought along and is no dataset yet: uploads, classes that are made on screen, pictures of a webcam. A folder each, in the home.

A staging outlives a refresh and the server. It is looked through by an import like any other folder, and thrown away when that is done, or when
nobody has touched it for `KEPT_DAYS`. Names come from a browser: each is cleaned before it becomes the name of a file (`file_names`).
"""
