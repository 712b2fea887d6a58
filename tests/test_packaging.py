"""The wheel holds the package and nothing else, and every place that names its version names the same."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from readme_renderer import markdown

from airflow_provider_adobe_deletion import __version__
from airflow_provider_adobe_deletion.get_provider_info import get_provider_info

ROOT = Path(__file__).parent.parent
PACKAGE = "airflow_provider_adobe_deletion"
INFO = f"{PACKAGE}-{__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    uv = os.environ.get("UV", "uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], check=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    return HeaderParser().parsestr(wheel.read(f"{INFO}/METADATA").decode())


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(texts) -> set[str]:
    return {str(Requirement(text)) for text in texts}


def test_the_wheel_holds_the_sources_and_nothing_else(wheel):
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py")}
    about = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert set(wheel.namelist()) == sources | {f"{PACKAGE}/py.typed"} | {f"{INFO}/{name}" for name in about}
    assert wheel.read(f"{INFO}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "Tag: py3-none-any\n" in wheel.read(f"{INFO}/WHEEL").decode()


def test_the_entry_point_is_the_provider_info(wheel):
    lines = wheel.read(f"{INFO}/entry_points.txt").decode().split()
    assert lines == [
        "[apache_airflow_provider]",
        *f"provider_info = {PACKAGE}.get_provider_info:get_provider_info".split(),
    ]


def test_the_metadata_is_the_project_s(metadata, project):
    assert metadata["Name"] == project["name"] == get_provider_info()["package-name"]
    assert metadata["Summary"] == project["description"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == project["requires-python"]
    assert set(metadata.get_all("Classifier")) == set(project["classifiers"])
    assert metadata.get_all("Provides-Extra") == ["simulator"]
    optional = [f"{text}; extra == 'simulator'" for text in project["optional-dependencies"]["simulator"]]
    assert requirements(metadata.get_all("Requires-Dist")) == requirements([*project["dependencies"], *optional])


def test_the_description_renders_as_the_package_index_does_it(metadata):
    assert metadata["Description-Content-Type"] == "text/markdown"
    html = markdown.render(metadata.get_payload())
    assert html is not None
    assert 'id="user-content-install-and-connect"' in html


def test_one_version(metadata):
    newest = re.search(r"^## \[(.+?)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert __version__ == newest[1] == metadata["Version"] == get_provider_info()["versions"][0]
