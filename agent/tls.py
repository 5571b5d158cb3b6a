"""How the agent trusts its controller, and shows itself to it."""

import ssl

from agent.errors import CertificateError
from agent.settings import AgentSettings


def tls_context(settings: AgentSettings) -> ssl.SSLContext:
    """TLS 1.2 or later; trusts the authorities of the system, or only that of `ca_file`, and shows our certificate.

    Raises CertificateError for a file that cannot be used.
    """
    context = _trusting(settings)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_certificate is not None:
        try:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
        except (OSError, ssl.SSLError) as cause:
            raise CertificateError(
                f"The certificate {settings.client_certificate} and its key cannot be used ({cause}). "
                "Give both as PEM, by REELKEEPER_CLIENT_CERTIFICATE and REELKEEPER_CLIENT_KEY."
            ) from cause
    return context


def _trusting(settings: AgentSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if settings.ca_file is None else str(settings.ca_file))
    except (OSError, ssl.SSLError) as cause:
        raise CertificateError(
            f"The authority in {settings.ca_file} cannot be used ({cause}). Give its certificate as PEM, by "
            "REELKEEPER_CA_FILE."
        ) from cause
