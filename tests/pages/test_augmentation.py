"""Random changes on the Train screen: a list of steps, its editor, what it does to a picture, and one batch."""

from __future__ import annotations

from pages._parts.shared.services import Services
from tests.pages.pages_cases import errors, healthy, open_page, press, shown, widget

SMALL = {"dataset": "digits", "model": "small_cnn", "image_size": "16", "batch_size": "32"}
OWN = "RandomHorizontalFlip(p=0.5), GaussianBlur(kernel_size=3)"


def test_steps_come_from_a_link_are_put_together_and_checked(shared_services: Services) -> None:
    app = open_page("train.py", **SMALL, augmentation=OWN, freeze="head only")
    assert widget(app, "Augmentation").value == "RandomHorizontalFlip(p=0.5), GaussianBlur(kernel_size=3, sigma=[0.1, 2.0])"
    assert "Mirror left to right: Right for photos; wrong for digits" in shown(app)
    (picked,) = [each for each in app.multiselect if each.label == "Steps"]
    assert picked.value == ["RandomHorizontalFlip", "GaussianBlur"]
    picked.set_value(["RandomRotation", "GaussianBlur"])
    healthy(app.run())
    widget(app, "kernel_size").set_value(4)
    press(app, "Use these steps")
    assert "give an odd number" in errors(app)
    widget(app, "kernel_size").set_value(5)
    widget(app, "degrees").set_value(30)
    press(app, "Use these steps")
    assert widget(app, "Augmentation").value == "RandomRotation(degrees=30.0), GaussianBlur(kernel_size=5, sigma=[0.1, 2.0])"
    assert "augmentation makes every picture new" in shown(app)


def test_without_random_changes_it_is_said_how_to_have_some(shared_services: Services) -> None:
    app = open_page("train.py", **SMALL, augmentation="none")
    app.session_state["variants"] = True
    healthy(app.run())
    assert any("Choose some at **Augmentation** (in More settings, above)" in each.value for each in app.info)
    assert len(app.image) == 1, "eight equal pictures would show nothing"


def test_variants_and_a_batch_are_shown_once_they_are_opened(shared_services: Services) -> None:
    app = open_page("train.py", **SMALL, augmentation="crop and flip")
    assert "Denormalised" not in shown(app)
    app.session_state["variants"] = app.session_state["one_batch"] = True
    healthy(app.run())
    said = shown(app)
    assert "Picture 1 of 1,797, class 0. Parts are cut out of a picture of 16 px a side, and made 16 px." in said
    assert "nothing that frozen layers compute can be kept" in said
    assert "Denormalised" in said
    assert "within" in said
    (table,) = [each.proto.body for each in app.get("html") if "As the loader gives it" in each.proto.body]
    for text in ("[32, 3, 16, 16]", "uint8", "float32", "cpu", "0.02 MB"):
        assert text in table
