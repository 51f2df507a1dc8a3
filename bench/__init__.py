"""`make bench`: side-by-side measurements of one run, as Markdown tables. Never part of the tests: times are no promise."""
