#!/usr/bin/env bash
# Streamlit 1.67.0 (ScriptRequests, SessionState.on_script_will_rerun): what a callback sets for a widget is taken back where a fragment with
# run_every struck while the callback was at work. The clock's message holds the values of all widgets as the browser knew them then; it waits until
# the page is drawn and is then taken for something that a person has chosen. If that fragment then calls st.rerun(scope="app"), the page is drawn
# with the old value. The select box shows the old one again, or goes on showing the new one while the script has the old one.
# Valid input: a button whose callback works for a second and sets the value of a select box by its key; a fragment with run_every=0.2; one click,
# after which the page's thread was busy for 0.6 s, so that the clock strikes before the browser knows that the script runs.
# Seen: the script says "a", the box "a" or "b". Without the clock both say "b".
# Usage: bash streamlit-callback-taken-back-by-a-clock.sh   (FINDING_PYTHON=python with streamlit 1.67.0 and playwright saves the installation;
# CHROMIUM=path of a Chromium, else that of playwright is fetched). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); server=; trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q streamlit==1.67.0 playwright==1.65.2; python=$folder/venv/bin/python
fi
[ -n "${CHROMIUM:-}" ] || "$python" -m playwright install chromium-headless-shell
cat > "$folder/app.py" <<'P'
import time

import streamlit as st

clock = st.query_params.get("clock") == "yes"
st.session_state.setdefault("choice", "a")


def suit() -> None:
    time.sleep(1)
    st.session_state.choice = "b"
    st.session_state.news = True


def look() -> None:
    if st.session_state.pop("news", False):
        st.rerun(scope="app")


st.selectbox("Choice", ["a", "b"], key="choice")
st.write(f"The script has {st.session_state.choice}.")
st.button("Choose b", on_click=suit)
if clock:
    st.fragment(look, run_every=0.2)()
P
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -m streamlit run "$folder/app.py" --server.address 127.0.0.1 --server.port "$port" --server.headless true \
  --browser.gatherUsageStats false > "$folder/log" 2>&1 & server=$!
"$python" - "$port" "${CHROMIUM:-}" <<'P'
import sys
from urllib.request import urlopen

import streamlit
from playwright.sync_api import sync_playwright

port, chromium = sys.argv[1:]
if streamlit.__version__ != "1.67.0":
    sys.exit(f"this is about Streamlit 1.67.0, and {streamlit.__version__} is installed")
PRESS = """button => {
    button.click();
    const end = performance.now() + 600;
    while (performance.now() < end);
}"""
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium or None)
    page = browser.new_page()
    for _ in range(100):
        try:
            urlopen(f"http://127.0.0.1:{port}/_stcore/health")
            break
        except OSError:
            page.wait_for_timeout(200)
    seen = {}
    for clock in ("no", "yes"):
        page.goto(f"http://127.0.0.1:{port}/?clock={clock}")
        page.get_by_role("button", name="Choose b").wait_for()
        page.wait_for_timeout(2_000)
        page.get_by_role("button", name="Choose b").evaluate(PRESS)
        page.wait_for_timeout(5_000)
        seen[clock] = page.get_by_role("combobox").input_value(), page.get_by_text("The script has").inner_text()
for clock, (shown, said) in seen.items():
    print(f"a fragment with a clock: {clock}; the box shows {shown!r}; {said!r}")
right = seen["no"] == ("b", "The script has b.") and seen["yes"][1] == "The script has a."
sys.exit(0 if right else "this has changed: look at pages/_parts/shared/clicks.py again")
P
