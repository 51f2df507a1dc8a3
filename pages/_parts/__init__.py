"""Pieces that screens share, in rooms: `ROOMS` is their order, as in `core`. A screen's own pieces are in the room of its name.

What bit us in Streamlit 1.67:

- A newer click ends a callback at its next access to `st.session_state`. What must change together is one object, changed in one go
  (`shared/layer_rules.py`), and a component's edits are numbered and sent again until the server has them (`outbox.js`, `outbox.py`).
- A fragment that polls sends old values of text boxes along, and they fire `on_change`. A box whose text was changed elsewhere gets a new
  key.
- `persist_state` loses a value between two pages that share a key: the first run on the other page shows the widget's default. `draft.py`
  carries the values over.
- An edit brings the URL of before along if it was made while the browser had not yet applied the last one. Only a link that we never wrote,
  or the browser's own back button, overrides the draft. The URL wins where it comes from outside (a link, a refresh, the back button), the
  session else (`evaluate/state.py`).
- An expander whose label changes is another one, and closed again: what changes stands inside of it.
- A text below a constant in a page's own script is drawn on the page (Streamlit's magic): a comment there instead.
- Code in a closed expander is coloured all the same (0.4 s at first paint): write it only once it is open. A page takes the browser as long
  as it has elements: nine cards took a third of the first paint, so they come once the rest is drawn.
- A link from a page to itself with other parameters draws the page, and leaves the address and the scrolling as they were (`pages/train.py`,
  `live_chart.js`).
- What a component alone changes (a moment, a node) it writes into the URL itself with `replaceState`; pages carry those names over.
- A reference knows no fragment. Elements of 10 kB and more that the browser has already are sent as references, which lose their fragment's
  id; when a fragment is drawn anew before its last messages left, the reference alone stays in the queue, and the page stops with "Bad
  delta path index". `config.toml` raises that size to 1 MB.
- On a busy machine the clocks of fragments carry a press along, and each played it again; or they carry a value of before, and took back what a
  callback had set, while the browser showed it: `shared/clicks.py` leaves both out. A callback that a
  newer request ended half-way may still run again from its start: what is not the same when done twice takes a `Click` (`shared/once.py`).
- A component that asks brings all its data again. What asks and what is large are two components, in two fragments.
- Plotly writes into the ranges that it is given: hand it copies, or a zoom changes what it is compared with.
- A callback in a fragment redraws the fragment alone: what it changes for the page needs `st.rerun(scope="app")` in the fragment.
- A dialog that a fragment with a clock opens is gone with the next tick. What asks writes down what it wants, and the page opens the dialog,
  again at each drawing until it is closed (`labels.py`).
- `st.pagination` has a default always, so setting its value logs a warning: other pages get another key (`pictures.wall`).
- An option of a picker is known by its text: nothing in it may change (`tests/pages/test_choices.py`); what changes is a caption below.
- What comes from outside goes through `words.plain` or `words.code`; `tests/plain_text.py` reads the source for it. Icons, emojis, arrows
  and addresses are looked for after Markdown, so a backslash alone does not stop them.
- A number field with a whole step rounds in the browser, and sends nothing beyond 2^53; ours have float steps, and `draft.values` gives
  whole ones back.
- No address begins with a slash (`shared/assets.py`): Thaw may live below a path.
- Under a pressed pointer nothing is drawn (`live_chart/press.js`): charts that grow while somebody drags would zoom to something else.
- A popover is closed when its label, icon or help changes: what changes stands in it. It lies in a layer of its own at the end of the page, is
  there only while it is open, and `help` puts a second, hidden copy of a button's text into the page.
- Below what stays in sight (the head of a run's page) a part that is scrolled to needs a `scroll-margin-top`.
- Fragments in fragments: on the Model screen a switch redraws the small one (tree, counts), then the rest follows (cost, timeline, code).
"""

ROOMS = ("shared", "components", "setup", "sweeps", "run", "runs", "compare", "evaluate", "autograd", "build", "home", "data")
"""The rooms from the ground up."""
