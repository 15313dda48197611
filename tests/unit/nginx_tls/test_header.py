"""The header by which applications know who calls: nobody's where nginx asks for no certificate."""

from __future__ import annotations

import posixpath
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROLE = Path(__file__).parents[3] / "roles" / "nginx_tls"


def test_without_client_certificates_the_header_is_emptied() -> None:
    environment = Environment(  # noqa: S701 - nginx's configuration, not HTML
        loader=FileSystemLoader(ROLE / "templates"), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"comment": "# {}".format, "dirname": posixpath.dirname}
    variables = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()) | {
        "ansible_managed": "Ansible",
        "nginx_tls_site": "essai",
        "nginx_tls_server_names": ["a.creatic.test", "b.creatic.test"],
        "nginx_tls_certificate_dir": "/etc/creatic/pki/essai/current",
        "nginx_tls_upstream": "/run/essai.sock",
        "nginx_tls_client_ca_files": ["/ca1.pem", "/ca2.pem"],
        "nginx_tls_client_crl_files": ["/crl.pem"],
        "nginx_tls_client_certificates": "off",
    }
    site = environment.get_template("site.conf.j2").render(variables)
    assert "ssl_verify_client" not in site
    assert "ssl_crl" not in site
    assert 'proxy_set_header X-SSL-Client-Cert "";' in site
    assert "essai.ca.pem" not in environment.get_template("trust.j2").render(variables)
