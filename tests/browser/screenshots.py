"""Make the README's screenshots: ``uv run python -m tests.browser.screenshots docs/images``.

The colours are reduced to 256, which keeps each picture small.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from airflow_provider_adobe_deletion.simulator import AdobeSimulator

from .chromium import browser_page
from .pages import DAG, Connections, Run, form_values, local_airflow

WIDTH = 1280


def main() -> None:
    """Start everything, and write the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with AdobeSimulator() as adobe, local_airflow() as airflow, browser_page(WIDTH) as page:
        connections = Connections(page, airflow.url)
        _form(connections, adobe, folder / "connection-form.png")
        connections.add()
        connections.fill("adobe_default", form_values(adobe))
        connections.save("adobe_default")
        run_id = airflow.trigger(DAG)
        page.set_viewport_size({"width": WIDTH, "height": 380})
        connections.test("adobe_default")
        page.mouse.move(0, 0)
        # The message comes and goes quickly.
        _save(page, folder / "connection-test.png", wait=600)
        airflow.wait(DAG, run_id)
        run = Run(page, airflow.url, run_id)
        page.set_viewport_size({"width": WIDTH, "height": 680})
        run.open_graph()
        _save(page, folder / "dag.png")
        run.open_task()
        expect(page.get_by_text("has succeeded (COMPLETED)")).to_be_visible()
        _save(page, folder / "task.png")


def _form(connections: Connections, adobe: AdobeSimulator, path: Path) -> None:
    """Show our own fields, filled in for Adobe itself rather than the simulated one."""
    connections.add()
    typed = form_values(adobe)
    connections.fill(
        "adobe_default", {name: typed[name] for name in ("login", "password", "org_id", "sandbox_name", "scopes")}
    )
    connections.page.set_viewport_size({"width": WIDTH, "height": 2040})
    connections.form.get_by_text("Add Connection").click()
    _save(connections.page, path)


def _save(page: Page, path: Path, wait: float = 2000) -> None:
    # Animations and the graph's zoom need a moment.
    page.wait_for_timeout(wait)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {picture.width} × {picture.height}, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
