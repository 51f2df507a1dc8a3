#!/usr/bin/env bash
# Streamlit 1.67.0 (WidgetStateManager of its browser half): one press of a button runs its callback several times where the page has fragments with
# run_every. A press is written into the values of all widgets at once and sent by a setTimeout(0); what a fragment's setInterval sends brings all
# values along, the press with them, and does not take it back. So a page that is busy (a chart is drawn) while the clocks come due sends the press
# once with each clock that was due, then once more itself. With button and clock in different fragments as well as in one.
# Valid input: a button that counts its presses, four fragments with run_every=0.5, one click while the page's thread was busy for two seconds.
# Seen: the callback ran 2 to 5 times for one click; without the clocks once.
# Usage: bash streamlit-press-carried-by-clocks.sh   (FINDING_PYTHON=python with streamlit 1.67.0 and playwright saves the installation; CHROMIUM=path
# of a Chromium, else that of playwright is fetched). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); server=; trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q streamlit==1.67.0 playwright==1.65.2; python=$folder/venv/bin/python
fi
[ -n "${CHROMIUM:-}" ] || "$python" -m playwright install chromium-headless-shell
cat > "$folder/app.py" <<'P'
from pathlib import Path

import streamlit as st

clocks = int(st.query_params.get("clocks", 0))
log = Path(__file__).with_name(f"presses-{clocks}")


def pressed() -> None:
    with log.open("a") as file:
        file.write("pressed\n")


st.button("Count", on_click=pressed)
for number in range(clocks):
    st.fragment(lambda number=number: st.caption(f"clock {number}"), run_every=0.5)()
P
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -m streamlit run "$folder/app.py" --server.address 127.0.0.1 --server.port "$port" --server.headless true \
  --browser.gatherUsageStats false > "$folder/log" 2>&1 & server=$!
"$python" - "$port" "$folder" "${CHROMIUM:-}" <<'P'
import sys
from pathlib import Path
from urllib.request import urlopen

import streamlit
from playwright.sync_api import sync_playwright

port, folder, chromium = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
if streamlit.__version__ != "1.67.0":
    sys.exit(f"this is about Streamlit 1.67.0, and {streamlit.__version__} is installed")
PRESS = """button => {
    const next = new MessageChannel();
    next.port1.onmessage = () => button.click();
    next.port2.postMessage(null);
    const end = performance.now() + 2000;
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
    counts = {}
    for clocks in (0, 4):
        page.goto(f"http://127.0.0.1:{port}/?clocks={clocks}")
        button = page.get_by_role("button", name="Count")
        button.wait_for()
        page.wait_for_timeout(3_000)
        button.evaluate(PRESS)
        page.wait_for_timeout(4_000)
        counts[clocks] = len((folder / f"presses-{clocks}").read_text().splitlines())
print(f"clocks of fragments on the page: times that the callback ran for one click: {counts}")
sys.exit(0 if counts[0] == 1 and counts[4] > 1 else "this has changed: look at pages/_parts/shared/clicks.py again")
P
