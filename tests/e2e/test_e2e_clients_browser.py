"""A browser loads a page through the tunnel, with all that pages do at the same time."""

import json

import pytest
from e2e_browser import page
from e2e_clients import program
from e2e_visitor import exchange_state, run

ASSETS = 50


@pytest.mark.full
def test_page_of_a_browser_works(site_tunnel, site, tmp_path):
    path = program("chromium", "chromium-browser", "google-chrome", "chrome")
    name = f"browser-{site_tunnel.name}"

    with page(path, tmp_path) as visitor:
        visitor.open(f"http://{site_tunnel.ingress[0]}:{site_tunnel.ingress[1]}/page?assets={ASSETS}&id={name}")
        result = json.loads(visitor.evaluate("done"))
        # What the page has let go of, the site hears of while the browser stays.
        ticks = run(exchange_state(site, f"{name}-ticks", until="cancelled"))
        download = run(exchange_state(site, f"{name}-download", until="cancelled"))

    assert result == {
        "loaded": ASSETS,
        "uploaded": [200, True, True],
        "ticked": True,
        "streamed": 3_000_000,
        "left": True,
        "empty": 204,
    }
    assert (ticks["finished"], download["finished"]) == (None, None)
