"""The console: one module a noun, one table of pages."""

from web.pages import accounts, jobs, preferences
from web.pages.page import Page, get, post

PAGES: list[Page] = [
    get("/welcome/{code}", accounts.welcome, is_open=True),
    post("/welcome/{code}", accounts.accept_welcome, is_open=True),
    get("/sign-in", accounts.sign_in_form, is_open=True),
    post("/sign-in", accounts.sign_in, is_open=True),
    post("/sign-out", accounts.sign_out),
    get("/account", accounts.show),
    post("/account/password", accounts.set_password),
    post("/preferences", preferences.change, is_open=True),
    get("/jobs", jobs.index),
    get("/jobs/{job_id:uuid}", jobs.show),
    get("/jobs/{job_id:uuid}/row", jobs.row),
    get("/jobs/{job_id:uuid}/stop", jobs.stop_form),
    post("/jobs/{job_id:uuid}/stop", jobs.stop),
    get("/jobs/{job_id:uuid}/cancel", jobs.cancel_form),
    post("/jobs/{job_id:uuid}/cancel", jobs.cancel),
]
