"""From an archive, a folder or a table beside pictures to a version of a dataset: looked at first, then taken in whole or not at all. No torch.

`trees` looks into folders, `archives` into zip and tar files in the same way, `tables` reads CSV and Parquet; `readings` are the ways to read a
source, `plan` says which one was recognised (`recognised`) and takes corrections. `pictures` looks at one picture, `job` takes all of them in,
`report` is what it has to say, `desk` is the server's end of a job in a process of its own (`runner`), `keeping` deletes datasets that no run
needs.

Nothing of an archive becomes a path: pictures lie under the SHA-256 of their bytes. A job works in `home.datasets/.incoming/NAME`, under the
dataset's lock "import"; what one that was killed left there is swept by the next.
"""
