"""Runs a script of this folder with the packages of `requirements.txt`, in a virtual environment made on first use.

The environment lives in the user's cache, one for each version of the requirements and of Python.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import venv

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")


def enter():
    """Starts the running script anew in the environment, unless it is there already."""
    home = location()
    if pathlib.Path(sys.prefix) == home:
        return
    if not home.exists():
        make(home)
    python = home / "bin" / "python"
    os.execv(python, [python, *sys.argv])


def location():
    """The environment's folder, named after what is in it."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return (cache / "reckon" / "complete-journey" / key).resolve()


def make(home):
    """Makes the environment beside its place and renames it: one that is there is complete."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return
        print(f"making a virtual environment in {home}", file=sys.stderr)
        partial = home.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        venv.create(partial, with_pip=True)
        # The requirements are complete; pandas, which the data's package also names, is not used here.
        pip = [partial / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--requirement", REQUIREMENTS], check=True)
        partial.rename(home)
