"""Watching adaptation runs, their verdicts and roll-outs, and holding them up."""

from __future__ import annotations

import re

from browsing import Visitor
from playwright.sync_api import expect


def test_the_run_under_way_is_watched_while_its_epochs_pass(viewer: Visitor) -> None:
    page = viewer.open("/refresh/3")
    share = page.locator("label[for=trained]")
    expect(share).to_contain_text("Training")
    before = share.inner_text()
    expect(share).not_to_have_text(before, timeout=30_000)
    expect(share).to_contain_text(re.compile("epoch [0-9]+ done"), timeout=30_000)
    expect(page.locator("#training canvas").first).to_be_visible()


def test_a_finished_run_shows_curves_verdict_examples_and_clusters(viewer: Visitor) -> None:
    page = viewer.open("/refresh/1")
    expect(page.locator("#verdict")).to_contain_text("accepted")
    expect(page.locator("#training canvas").first).to_be_visible()
    expect(page.locator("#examples .example")).to_have_count(4)
    expect(page.locator("#examples")).to_contain_text("better")
    expect(page.locator("#clusters svg circle").first).to_be_visible()


def test_a_refused_run_says_why(viewer: Visitor) -> None:
    page = viewer.open("/refresh/2")
    expect(page.locator("#verdict")).to_contain_text("refused")
    expect(page.locator("#verdict ul.reasons")).to_contain_text("wanted at least")


def test_a_run_is_stopped_and_goes_on(operator: Visitor) -> None:
    page = operator.open("/refresh/3")
    page.get_by_role("button", name="Stop the run").click()
    expect(page.locator("#live")).to_contain_text("stopped by ann")
    page.get_by_role("button", name="Go on with it").click()
    expect(page.locator("#live")).not_to_contain_text("stopped by ann")


def test_a_rollout_is_resumed_paused_and_aborted(operator: Visitor) -> None:
    page = operator.open("/rollouts")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#rollout")).to_contain_text("paused by ann")
    page.get_by_label("Why, for the audit log").fill("faces are blurred")
    page.get_by_role("button", name="Abort and go back").click()
    expect(page.locator("#rollout")).to_contain_text("aborted by ann: faces are blurred")
    expect(operator.open("/audit").locator("main")).to_contain_text("roll-out abort")


def test_a_viewer_cannot_hold_up_a_rollout_or_begin_a_run(viewer: Visitor) -> None:
    page = viewer.open("/rollouts")
    for name in ("Pause", "Abort and go back"):
        assert page.get_by_role("button", name=name).count() == 0
    token = str(viewer.open("/search").locator("input[name=csrf_token]").first.get_attribute("value"))
    for path in ("/rollouts/abort", "/rollouts/pause", "/refresh"):
        form = {"csrf_token": token, "rollout_key": "1"}
        assert viewer.context.request.post(viewer.url + path, form=form).status == 403


def test_two_releases_are_compared(viewer: Visitor) -> None:
    page = viewer.open("/releases")
    page.get_by_role("link", name=re.compile(r"0\.1\.1")).first.click()
    expect(page.locator("h1")).to_contain_text("0.1.1")
    expect(page.locator("#diff")).to_contain_text("version")
