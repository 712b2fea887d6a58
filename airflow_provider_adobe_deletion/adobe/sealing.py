"""Encrypts what must be stored where many can read it.

The key comes from the connection's client secret, which every worker has that can use the connection,
and nobody who can only look at Airflow's pages.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken

from airflow_provider_adobe_deletion.adobe.config import AdobeConfig


class CredentialSealer:
    """Seals with a key derived from a credential; after the credential has changed, nothing can be read.

    :param config: whose credential.
    """

    def __init__(self, config: AdobeConfig) -> None:
        material = f"airflow-provider-adobe-deletion\0{config.client_id}\0{config.client_secret}".encode()
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(material).digest()))

    def seal(self, secret: str) -> str:
        """Return the secret, encrypted."""
        return self._fernet.encrypt(secret.encode()).decode()

    def unseal(self, sealed: str) -> str | None:
        """Return the secret, or ``None`` where it was sealed with another credential."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None
