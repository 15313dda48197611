"""What leaves the site: open data, a feed, a block for the commune's own site, of what is on line alone."""

from __future__ import annotations

import pytest

from apps.deliberations.tests.scdl_judge import faults
from testbed.deliberations import HTML, MANAGER, MEETINGS, Site
from tests.profiles.deliberations.conftest import Act

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine


def test_open_data_is_of_the_national_schema_and_names_what_is_on_line(site: Site, act: Act) -> None:
    answer = site.ask("GET", "/gondecourt/deliberations.csv")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/csv")
    assert faults(answer.data) == []
    assert f"https://{site.name}{act.page}" in answer.data.decode()


def test_the_feed_and_the_block_show_it(site: Site, act: Act) -> None:
    for page in ("publications.atom", "bloc"):
        assert act.mark in site.ask("GET", f"/gondecourt/{page}").data.decode(), page


def test_the_commune_s_site_alone_frames_the_block(site: Site) -> None:
    headers = site.ask("GET", "/gondecourt/bloc").headers
    [policy] = headers.getlist("Content-Security-Policy")
    assert policy.endswith("frame-ancestors https://www.gondecourt.test") and "X-Frame-Options" not in headers
    for path in ("/gondecourt/publications", "/la-madeleine/bloc"):
        [policy] = site.ask("GET", path, HTML).headers.getlist("Content-Security-Policy")
        assert "frame-ancestors 'none'" in policy, path


@pytest.mark.parametrize("page", ["deliberations.csv", "publications.atom", "bloc"])
def test_a_ccas_has_none(site: Site, page: str) -> None:
    assert site.ask("GET", f"/gondecourt-ccas/{page}").status == 404


def test_the_clerk_finds_what_to_paste(site: Site) -> None:
    page = site.browser(MANAGER).ask("GET", f"{MEETINGS}/@@ailleurs").data.decode()
    assert "&lt;iframe src=" in page and "/gondecourt/bloc" in page and "scdl/deliberations" in page
    assert site.ask("GET", f"{MEETINGS}/@@ailleurs", HTML).status in (302, 401)
