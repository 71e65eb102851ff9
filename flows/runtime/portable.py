"""Processes whose results have the same bits on every x86-64."""

from __future__ import annotations

import os
import sys

from unshapley.config import Params, load_params
from unshapley.environment import PORTABLE, is_portable
from unshapley.project import Project


def parameters(project: Project) -> Params:
    """The project's parameters, in a process that gives the bits that they ask for. To be called
    before what computes is imported.
    """
    params = load_params(project.params)
    restart_if(params.valuation.numerics)
    return params


def restart_if(numerics: str) -> None:
    """Start this command again with the settings of `portable`, if it is asked for and they are not
    in place: libraries read them when they are loaded.
    """
    there = {**os.environ, **PORTABLE}
    if numerics == "portable" and not is_portable() and is_portable(there):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], there)  # noqa: S606
