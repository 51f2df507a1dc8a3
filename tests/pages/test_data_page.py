"""The page of one dataset, without a browser: what is said where something is refused."""

from __future__ import annotations

from core import versions
from core.config import RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from pages._parts.shared.services import Services
from tests.pages.browser_watch_cases import WrittenRun
from tests.pages.pages_cases import errors, healthy, open_page, press
from tests.pages.sight_cases import RESULT
from tests.versions.own_cases import dataset


def test_a_dataset_that_a_run_uses_is_not_deleted_and_its_page_says_so(home: Home, shared_services: Services) -> None:
    made = dataset(home, "in use", 4)
    config = RunConfig(dataset=f"own:in use@1:{made.hash}", model="small_cnn", image_size=16)
    WrittenRun(shared_services.store, config, begins=False).finish(RunStatus.FINISHED, RESULT)
    going_on = WrittenRun(shared_services.store, config, begins=False)
    app = press(open_page("data.py", dataset="own:in use", part="versions"), "Delete")
    assert f"'in use' is used by {going_on.id}; wait until they are done or stop them, and delete it then" in errors(app)
    assert "in use" in versions.names(home)

    going_on.finish(RunStatus.FINISHED, RESULT)
    app = press(healthy(app.run()), "Delete")
    assert any("2 runs that have ended used it" in each.value for each in app.markdown), "it is asked, since they would miss it"
    press(app, "Delete it")
    assert "in use" not in versions.names(home)
