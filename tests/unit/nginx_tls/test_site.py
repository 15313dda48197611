"""The site of role nginx_tls, rendered without a host, in its three modes of client certificates."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROLE = Path(__file__).parents[3] / "roles" / "nginx_tls"


def render(template: str, **changes: object) -> str:
    """Render a template with the role's defaults."""
    environment = Environment(  # noqa: S701 - nginx's configuration, not HTML
        loader=FileSystemLoader(ROLE / "templates"), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"comment": "# {}".format, "dirname": posixpath.dirname, "to_json": json.dumps}
    variables = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()) | {
        "ansible_managed": "Ansible",
        "nginx_tls_site": "essai",
        "nginx_tls_server_names": ["a.creatic.test", "b.creatic.test"],
        "nginx_tls_certificate_dir": "/etc/creatic/pki/essai/current",
        "nginx_tls_upstream": "/run/essai.sock",
        "nginx_tls_client_ca_files": ["/ca1.pem", "/ca2.pem"],
        "nginx_tls_client_crl_files": ["/crl.pem"],
    }
    return environment.get_template(template).render(variables | changes)


@pytest.mark.parametrize(("mode", "directive"), [("required", "on"), ("optional", "optional")])
def test_client_certificates_are_checked_with_their_crls(mode: str, directive: str) -> None:
    site = render("site.conf.j2", nginx_tls_client_certificates=mode)
    assert f"ssl_verify_client {directive};" in site
    assert "ssl_client_certificate /etc/nginx/creatic/essai.ca.pem;" in site
    assert "ssl_crl /etc/nginx/creatic/essai.crl.pem;" in site
    assert 'proxy_set_header X-SSL-Client-Cert "$ssl_client_escaped_cert";' in site
    trust = render("trust.j2", nginx_tls_client_certificates=mode).splitlines()
    assert "/etc/nginx/creatic/essai.ca.pem /ca1.pem /ca2.pem" in trust
    assert "/etc/nginx/creatic/essai.crl.pem /crl.pem" in trust


def test_without_client_certificates_the_header_is_emptied() -> None:
    site = render("site.conf.j2", nginx_tls_client_certificates="off")
    assert "ssl_verify_client" not in site
    assert "ssl_crl" not in site
    assert 'proxy_set_header X-SSL-Client-Cert "";' in site
    assert "essai.ca.pem" not in render("trust.j2", nginx_tls_client_certificates="off")


def test_what_is_watched() -> None:
    watched = render("nginx-tls-trust.path.conf.j2").splitlines()[2:]
    assert [line.partition("=")[2] for line in watched if line.startswith("PathChanged")] == [
        "/etc/creatic/pki/essai",
        "/ca1.pem",
        "/ca2.pem",
        "/crl.pem",
    ]


def test_site_is_hardened_and_limited() -> None:
    site = render("site.conf.j2", nginx_tls_max_body_size="10m", nginx_tls_extra_locations="location /x {\n}\n")
    assert "include /etc/nginx/creatic/tls.conf;" in site
    assert "client_max_body_size 10m;" in site
    assert "server_name a.creatic.test b.creatic.test;" in site
    assert "    location /x {\n    }\n}" in site
    tls = render("tls.conf.j2")
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in tls
    assert "ssl_session_cache off;" in tls
    assert "listen 80" not in site + render("default.conf.j2")


def test_a_page_that_others_frame_is_asked_as_nobody_and_says_by_whom_itself() -> None:
    site = render("site.conf.j2", nginx_tls_framed="^/[a-z0-9-]+/bloc$")
    told = site.partition('location ~ "^/[a-z0-9-]+/bloc$" {')[2].partition("\n    }")[0]
    assert "add_header Content-Security-Policy $essai_regle always;" in told
    assert "add_header X-Frame-Options $essai_cadre always;" in told
    assert "proxy_pass_request_headers off;" in told and 'set $args "";' in told
    assert 'add_header X-Frame-Options "DENY" always;' in site  # of all others
    # Where the application says nothing, the site's own rules stand.
    maps = site.partition("server {")[0]
    assert """"" "default-src 'none';""" in maps and '"" "DENY";' in maps
    assert "_regle" not in render("site.conf.j2") and "bloc" not in render("site.conf.j2")
