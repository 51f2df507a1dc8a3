"""What the tests of pages share."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest

from tests.support import ROOT

SMALL = {"model": "small_cnn", "image_size": "32"}


def open_page(page: str = "home.py", **query: str) -> AppTest:
    """A screen, run once, as an address leads to it: Home is not drawn before it."""
    app = AppTest.from_file(ROOT / "pages" / "_app.py", default_timeout=60)
    if page != "home.py":
        app.switch_page(page)  # before the first run Streamlit goes by the file's name, which is what the addresses of all but Home are
    for name, value in query.items():
        app.query_params[name] = value
    return healthy(app.run())


def healthy(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    return app


def widget(app: AppTest, label: str) -> Any:
    """The one widget with this label."""
    (found,) = [element for kind in (app.selectbox, app.number_input, app.text_input, app.radio) for element in kind if element.label == label]
    return found


def expander(app: AppTest, label: str) -> Any:
    (found,) = [element for element in app.expander if element.label == label]
    return found


def shown(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption, app.warning) for element in kind)


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [button for button in app.button if button.label == label]
    return healthy(button.click().run())


def opened(app: AppTest, key: str) -> AppTest:
    """The same page with the popover or expander of this key open."""
    app.session_state[key] = True
    return healthy(app.run())


def figures(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def errors(app: AppTest) -> str:
    return "\n".join(error.value for error in app.error)
