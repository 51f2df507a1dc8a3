"""The Data screen in a browser: from dragged files to a started run, through refreshes, broken uploads and second thoughts."""

from __future__ import annotations

import io
import json
import re
import socket
import tarfile
import urllib.error
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from core import versions
from core.machine.home import Home
from core.staging import staging
from core.store import RunStore
from core.versions import shelf
from tests.support import Server, wait_until, waiting
from tests.versions.own_cases import COLOURS, dataset, png

pytestmark = pytest.mark.browser


def home_of(server: Server) -> Home:
    return Home.from_environment(str(server.home))


def picture(label: str, number: int) -> FilePayload:
    return {"name": f"{number}.png", "mimeType": "image/png", "buffer": png(COLOURS[label], number)}


def archive(broken: bytes = b"") -> bytes:
    """A tar of class folders in folders for splits, wrapped in one more; `broken` is a picture in it that is none."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for number in range(10):
            for label in COLOURS:
                add(tar, f"colours/{'Training' if number < 8 else 'valid'}/{label}/{number}.png", png(COLOURS[label], number))
        if broken:
            add(tar, "colours/Training/red/broken.jpg", broken)
        add(tar, "colours/.DS_Store", b"junk")
    return stream.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(data)
    tar.addfile(about, io.BytesIO(data))


def tiles(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Pictures").get_by_role("option")


def open_dataset(page: Page, server: Server, name: str, more: str = "") -> None:
    page.goto(f"{server.address}/data?dataset=own:{name}{more}")
    expect(tiles(page).first).to_be_visible()


def test_dragged_files_become_classes_a_dataset_and_a_run(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/data?way=classes")
    name = page.get_by_role("textbox", name="Name of a new class")
    for label in COLOURS:
        name.fill(label)
        name.press("Enter")
        expect(page.get_by_role("region", name=f"Class {label}")).to_be_visible()
    expect(name).to_have_value("")
    name.fill("RED")
    name.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("There is a class 'RED' already")
    drag(page, page.get_by_role("region", name="Class red"), [picture("red", number) for number in range(30)])
    page.get_by_role("region", name="Class blue").locator("input[type=file]").set_input_files([picture("blue", number) for number in range(30)])
    expect(page.get_by_text("2 classes · 60 pictures")).to_be_visible()
    expect(page.get_by_role("region", name="Class red").get_by_role("listitem")).to_have_count(24)

    page.reload()  # in the middle: all of it is there again
    expect(page.get_by_text("2 classes · 60 pictures")).to_be_visible()
    page.get_by_role("button", name="Take out 29.png").first.press("Enter")
    expect(page.get_by_text("2 classes · 59 pictures")).to_be_visible()
    page.get_by_role("button", name="Bring back 1 picture").click()
    expect(page.get_by_text("2 classes · 60 pictures")).to_be_visible()

    page.get_by_role("button", name="Look at what it is").click()
    expect(page.get_by_role("heading", name="The classes that you made: 'blue', 'red'.")).to_be_visible()
    called = page.get_by_role("textbox", name="Name of the dataset")
    expect(called).to_have_value("blue and red")
    called.fill("two colours")
    called.press("Enter")
    page.reload()
    expect(page.get_by_role("textbox", name="Name of the dataset")).to_have_value("two colours")
    page.get_by_role("button", name="Import 60 pictures").click()
    expect(page.get_by_text("60 pictures are in two colours, version 1.")).to_be_visible()
    assert not staging.all_of(home_of(server)), "what was imported is not kept twice"

    page.get_by_role("link", name="Train on it").click()
    expect(page.locator(".st-key-data_card").get_by_text("60 pictures")).to_be_visible()
    page.goto(f"{server.address}/train?new=1&dataset=own:two%20colours&model=small_cnn&image_size=16&epochs=1&batch_size=8")
    expect(page.locator(".st-key-data_card").get_by_text("60 pictures")).to_be_visible()
    expect(page.locator(".st-key-fit_example")).to_contain_text(re.compile(r"Your (blue|red)/\S+\.png, "))
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile(r"[?&]run="))
    run = RunStore(server.home / "thaw.db").run(page.url.partition("run=")[2].partition("&")[0])
    assert run.config.dataset.startswith("own:two colours@1:")


def drag(page: Page, place: Locator, files: list[FilePayload]) -> None:
    """Drop files as a browser does after a drag."""
    payload = [{"name": file["name"], "type": file["mimeType"], "bytes": list(file["buffer"])} for file in files]
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const { name, type, bytes } of files) transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
            return transfer;
        }""",
        payload,
    )
    place.dispatch_event("dragenter", {"dataTransfer": transfer})
    expect(place).to_have_attribute("data-over", "true")
    place.dispatch_event("drop", {"dataTransfer": transfer})


def test_an_archive_is_shown_corrected_and_imported_with_a_report(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/data?way=files")
    page.locator("input[data-which=files]").set_input_files(
        {"name": "colours.tar.gz", "mimeType": "application/gzip", "buffer": archive(b"\xff\xd8\xff\xe0 none")}
    )
    expect(page.get_by_text("colours.tar.gz ·")).to_be_visible()
    page.get_by_role("button", name="Look at what it is").click()
    expect(page.get_by_text("17 train, 4 validation")).to_be_visible()
    expect(page.get_by_text("Files and folders that systems keep for themselves")).to_be_visible()
    page.get_by_text("Every folder in it is a class").click()
    expect(page.get_by_text("Training, valid")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Training, valid")).to_be_visible()
    page.get_by_text("As Thaw recognises it by itself").click()
    expect(page.get_by_text("17 train, 4 validation")).to_be_visible()
    page.get_by_role("button", name="Import 21 pictures").click()
    expect(page.get_by_text("20 pictures are in colours, version 1.")).to_be_visible()
    expect(page.get_by_text("1 file was left out.")).to_be_visible()
    version = versions.read(home_of(server), "colours")
    assert {split: sum(counts) for split, counts in version.counts.items()} == {"train": 16, "validation": 4}
    page.get_by_role("button", name="Look at it").click()
    expect(tiles(page)).to_have_count(20)


def test_more_pictures_are_added_to_a_dataset_as_its_next_version(server: Server, page: Page) -> None:
    home = home_of(server)
    dataset(home, "growing", 10)
    open_dataset(page, server, "growing")
    page.get_by_role("button", name="Add pictures").click()
    page.get_by_role("region", name="Class blue").locator("input[type=file]").set_input_files([picture("blue", 100), picture("blue", 101)])
    expect(page.get_by_text("2 classes · 2 pictures")).to_be_visible()
    page.get_by_role("button", name="Look at what it is").click()
    page.get_by_role("button", name="Add 2 pictures to growing").click()
    expect(page.get_by_text("2 pictures came to growing, which is version 2 now.")).to_be_visible()
    assert versions.compare(versions.read(home, "growing", 1), versions.read(home, "growing")).sentence == "2 pictures came."


def test_what_cannot_be_read_says_why_and_the_way_back_is_there(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/data?way=files")
    page.locator("input[data-which=files]").set_input_files({"name": "cut.zip", "mimeType": "application/zip", "buffer": b"PK\3\4 and no more"})
    expect(page.get_by_text("cut.zip ·")).to_be_visible()
    page.get_by_role("button", name="Look at what it is").click()
    expect(page.get_by_role("alert").filter(has_text="cannot be read as an archive")).to_be_visible()
    page.get_by_role("button", name="Back", exact=True).click()
    page.get_by_role("button", name="Throw it away").click()
    expect(page.get_by_text("Nothing is here yet.")).to_be_visible()
    page.get_by_text("A folder on this machine").click()
    page.get_by_role("textbox", name="A folder, an archive or a table on this machine").fill("/nothing/is/here")
    page.get_by_role("button", name="Look at what it is").click()
    expect(page.get_by_role("alert").filter(has_text="is not there")).to_be_visible()


def test_the_gallery_is_filtered_selected_and_changed_by_mouse_with_undo(server: Server, page: Page) -> None:
    home = home_of(server)
    dataset(home, "gallery", 30, ("train", "validation", "test"))
    open_dataset(page, server, "gallery")
    page.get_by_role("combobox", name="Class", exact=True).select_option("red")
    page.get_by_role("combobox", name="Split").select_option("train")
    expect(page.get_by_text("10 of 60 pictures")).to_be_visible()
    page.wait_for_url(re.compile("f_class=red"))
    tiles(page).nth(1).click()
    tiles(page).nth(3).click(modifiers=["Shift"])
    tiles(page).nth(5).click(modifiers=["ControlOrMeta"])
    expect(page.get_by_text("4 selected")).to_be_visible()
    page.get_by_role("combobox", name="Give the class").select_option("blue")
    expect(page.get_by_text("Version 2: 4 pictures relabelled as 'blue'.")).to_be_visible()
    expect(page.get_by_text("6 of 60 pictures")).to_be_visible()
    assert sorted(item.name for item in versions.read(home, "gallery").items if item.label == "blue" and item.name.startswith("red")) == [
        "red/15.png", "red/3.png", "red/6.png", "red/9.png",
    ]  # fmt: skip

    page.reload()  # filters and the way back are there
    expect(page.get_by_text("6 of 60 pictures")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("10 of 60 pictures")).to_be_visible()
    assert versions.compare(versions.read(home, "gallery", 1), versions.read(home, "gallery", 3)).sentence == "Nothing differs."

    tiles(page).first.click()
    page.get_by_role("combobox", name="Move to").select_option("test")
    expect(page.get_by_text("9 of 60 pictures")).to_be_visible()
    page.get_by_role("searchbox", name="Text in the name").fill("27")
    expect(page.get_by_text("1 of 60 pictures")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_text("60 pictures", exact=True)).to_be_visible()


def test_the_gallery_can_be_used_by_keyboard_alone(server: Server, page: Page) -> None:
    home = home_of(server)
    dataset(home, "keys", 30)
    open_dataset(page, server, "keys")
    wall = page.get_by_role("listbox", name="Pictures")
    wall.focus()
    for key in ("ArrowRight", "Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        wall.press(key)
    expect(page.get_by_text("3 selected")).to_be_visible()
    wall.press("Enter")
    expect(page.get_by_role("dialog", name="One picture")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="One picture")).to_be_hidden()
    wall.press("Delete")
    expect(page.get_by_text("Version 2: 3 pictures left out.")).to_be_visible()
    expect(page.get_by_text("57 pictures", exact=True)).to_be_visible()
    wall.press("ControlOrMeta+a")
    expect(page.get_by_text("57 selected")).to_be_visible()
    wall.press("Escape")
    expect(page.get_by_text("Nothing is selected.")).to_be_visible()
    wall.press("End")
    expect(wall.locator('[data-active="true"]')).to_have_attribute("aria-posinset", "57")


def test_only_what_is_in_sight_is_drawn_of_many_pictures(server: Server, page: Page) -> None:
    home = home_of(server)
    version = dataset(home, "many", 4)
    items = [item._replace(name=f"{number}/{item.name}") for number in range(500) for item in version.items]
    shelf.write(home, "many", version.classes, items, "Four thousand names.", 1)
    open_dataset(page, server, "many")
    expect(page.get_by_text("4,000 pictures", exact=True)).to_be_visible()
    assert tiles(page).count() < 150
    wall = page.get_by_role("listbox", name="Pictures")
    wall.evaluate("box => { box.scrollTop = box.scrollHeight; }")
    expect(wall.locator('[aria-posinset="4000"]')).to_be_visible()
    assert tiles(page).count() < 150


def test_a_dataset_goes_to_the_bin_and_comes_back_and_one_in_use_stays(server: Server, page: Page) -> None:
    home = home_of(server)
    dataset(home, "binned", 20)
    open_dataset(page, server, "binned")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("binned lies in the bin.")).to_be_visible()
    assert "binned" not in versions.names(home)
    page.get_by_role("button", name="Undo").click()
    waiting(page, lambda: "binned" in versions.names(home), "the dataset that was brought back")
    expect(page.get_by_text("binned lies in the bin.")).to_be_hidden()
    expect(tiles(page).first).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("binned lies in the bin.")).to_be_visible()
    page.get_by_role("button", name="Empty the bin").click()
    page.get_by_role("button", name="Empty it").click()
    expect(page.get_by_text("The bin is empty.")).to_be_visible()
    assert not list((home.datasets / ".bin").glob("*"))


def test_splits_and_classes_and_versions_each_make_a_version(server: Server, page: Page) -> None:
    home = home_of(server)
    dataset(home, "parts", 20)
    page.goto(f"{server.address}/data?dataset=own:parts&part=splits")
    page.get_by_role("button", name="Use these splits").click()
    expect(page.get_by_text("Version 2: Split anew")).to_be_visible()
    counts = versions.read(home, "parts").counts
    assert {split: sum(numbers) for split, numbers in counts.items()} == {"train": 28, "validation": 6, "test": 6}
    page.get_by_text("Classes", exact=True).click()
    page.get_by_role("textbox", name="New name").fill("azure")
    page.get_by_role("combobox", name="Class", exact=True).press("ArrowDown")
    page.get_by_role("option", name="blue").click()
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_text("Version 3: Class 'blue' renamed to 'azure'.")).to_be_visible()
    page.get_by_text("Versions", exact=True).click()
    expect(page.get_by_text("Class 'blue' became 'azure'.")).to_be_visible()
    page.locator(".st-key-data_version_1").get_by_role("button", name="Restore").click()
    expect(page.get_by_text("Version 4: Version 1 restored.")).to_be_visible()
    assert versions.read(home, "parts").hash == versions.read(home, "parts", 1).hash


def test_dataset_and_loader_are_explained_with_the_pictures_themselves(server: Server, page: Page) -> None:
    dataset(home_of(server), "explained", 20, ("train", "test"))
    page.goto(f"{server.address}/data?dataset=own:explained&part=loader")
    expect(page.get_by_text("len(dataset) is 20.")).to_be_visible()
    expect(page.get_by_text("[16, 3, 224, 224]")).to_be_visible()
    page.get_by_text("The same in PyTorch").click()
    expect(page.get_by_text("class Pictures(Dataset):")).to_be_visible()


def test_a_webcam_gives_pictures_or_a_clear_word(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/data?way=classes")
    name = page.get_by_role("textbox", name="Name of a new class")
    name.fill("me")
    name.press("Enter")
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError')); }")
    page.get_by_role("button", name="Webcam for me").click()
    expect(page.get_by_text("The browser was not allowed to use the camera.")).to_be_visible()
    page.get_by_role("button", name="Close the camera").click()
    page.evaluate(
        """() => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
            let turn = 0;
            setInterval(() => { const pen = canvas.getContext("2d"); pen.fillStyle = `hsl(${turn++ * 7} 80% 50%)`; pen.fillRect(0, 0, 64, 48); }, 20);
            navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(30);
        }"""
    )
    page.get_by_role("button", name="Webcam for me").click()
    page.get_by_role("button", name="Burst of 20").press("Enter")
    expect(page.get_by_text("20 pictures taken")).to_be_visible()
    expect(page.get_by_role("region", name="Class me").get_by_text("20 pictures", exact=True)).to_be_visible()
    hold = page.get_by_role("button", name="Hold to record")
    hold.focus()
    page.keyboard.down("Space")
    expect(hold).to_have_attribute("data-recording", "true")
    page.keyboard.up("Space")
    expect(hold).not_to_have_attribute("data-recording", "true")


# Without a browser: what a broken or hostile one may send


def asked(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{server.address}/{path}", body or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else text


def test_only_our_own_pages_bring_files_and_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    home = home_of(server)
    here = staging.begin(home)
    mark = {"X-Thaw": "1"}
    assert asked(server, "PUT", f"staging/{here}/file?name=a.zip", b"data")[0] == 403
    assert asked(server, "PUT", f"staging/{here}/file?name=a.zip", b"data", Origin="https://elsewhere.example", **mark)[0] == 403
    assert asked(server, "PUT", "staging/20260101-000000-abcd/file?name=a.zip", b"data", **mark)[0] == 404
    assert asked(server, "PUT", f"staging/{here}/file?name=a.png&class=none", b"data", **mark)[0] == 409
    assert asked(server, "POST", f"staging/{here}", b"{", **mark)[0] == 400
    assert asked(server, "POST", f"staging/{here}", b'{"do": "nonsense"}', **mark)[0] == 409
    assert asked(server, "PUT", f"staging/{here}/file?name=..%2F..%2Fescape.txt", b"data", **mark)[0] == 200
    assert asked(server, "GET", f"staging/{here}")[1]["first"] == "escape.txt"
    assert asked(server, "GET", f"staging/{here}/picture?class=..&name=x")[0] in (404, 409)
    half_sent(server, here, 10_000).close()  # a small file, which is taken in at one go
    with half_sent(server, here, 10_000_000):
        incoming = staging.folder(home, here) / "incoming"
        wait_until(lambda: incoming.is_dir() and any(incoming.iterdir()))
    wait_until(lambda: not any(incoming.iterdir()), what="the half file gone")
    assert staging.staged(home, here).files == 1
    staging.throw_away(home, here)


def half_sent(server: Server, here: str, length: int) -> socket.socket:
    """A connection on which a file of so many bytes was begun."""
    wire = socket.create_connection(("127.0.0.1", server.port))
    head = f"PUT /staging/{here}/file?name=half.zip HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Thaw: 1\r\nContent-Length: {length}"
    wire.sendall(f"{head}\r\n\r\n".encode() + bytes(1000))
    return wire


@pytest.mark.parametrize(
    "path",
    [
        "picture/gone/" + "a" * 64 + ".png",
        "picture/..%2F..%2Fetc/" + "a" * 64,
        "picture/colours/passwd",
        "picture/colours/..%2F..%2Fthaw.db",
        "pictures/gone/1",
        "pictures/colours/999",
        "pictures/..%2F..%2Fetc/1",
    ],
)
def test_no_address_leads_out_of_the_datasets(server: Server, path: str) -> None:
    status, told = asked(server, "GET", path)
    assert status in (400, 404)
    assert str(server.home) not in str(told)
