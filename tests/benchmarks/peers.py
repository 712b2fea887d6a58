"""The providers that ours is measured beside, in an environment of their own."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path


def installed(folder: Path, *names: str) -> Path:
    """Install providers beside the Airflow version at hand, and return the interpreter that has them."""
    python = folder / "peers" / "bin" / "python"
    airflow = importlib.metadata.version("apache-airflow")
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder / "peers")], check=True)
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--python", str(python), f"apache-airflow=={airflow}", *names], check=True
    )
    return python
