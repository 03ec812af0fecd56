"""The parts of the configuration that are about what comes from, and goes to, registries."""

from moorage.daemon.config import DaemonConfig
from moorage.registry.endpoints import RegistrySettings
from moorage.signatures.settings import SignatureSettings


def registry_settings(config: DaemonConfig) -> RegistrySettings:
    """Return the part of the configuration that is about registries."""
    return RegistrySettings(
        mirrors=config.registry_mirrors,
        insecure=config.insecure_registries,
        attempts=config.max_download_attempts,
    )


def signature_settings(config: DaemonConfig) -> SignatureSettings:
    """Return the part of the configuration that is about signatures."""
    return SignatureSettings(policy=config.signature_policy, signing=config.signing)
