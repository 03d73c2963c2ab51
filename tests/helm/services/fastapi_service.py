# SPDX-License-Identifier: Apache-2.0
"""A service as a team has it: a page, and nothing of ours but the script that the page names."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

app = FastAPI()


@app.get("/", response_class=HTMLResponse)
def page():
    return '<!doctype html><title>fastapi</title><script src="/faro/config.js"></script>'
