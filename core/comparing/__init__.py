"""Several runs side by side.

- `rows` makes the table of all runs; `settings` says what differs between configs, and which runs differ in their seed alone; `lanes` says what
  was frozen when.
- `stream` gives the curves of many runs to one chart, with a cursor for each, as `core.store.stream` does for one.
- `difference` compares weights layer by layer (imports torch, so it works in a helper process); `asked` finds the weights of runs for it.
- `imported` keeps curves that other programs wrote; `event_files` and `csv_curves` read them.
"""
