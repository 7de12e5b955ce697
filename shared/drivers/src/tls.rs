//! Whose certificates a service is believed by: the system's, a file's, or anybody's where the setting says so.

use std::sync::Arc;

use muster_model::MachineId;
use muster_model::power::Trust;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
};

use crate::DriverError;

/// What makes a connection one that is believed.
pub(crate) fn connector(trust: &Trust, machine: &MachineId) -> Result<TlsConnector, DriverError> {
    let provider = Arc::new(ring::default_provider());
    let builder = builder(&provider)?;
    let config = match trust {
        Trust::System => builder.with_root_certificates(system_roots()),
        Trust::File(file) => builder.with_root_certificates(roots_of(&file.fill(machine))?),
        Trust::Any => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody { provider })),
    };
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

/// What makes a connection one that is believed as the system does.
pub(crate) fn system() -> Result<TlsConnector, DriverError> {
    let config = builder(&Arc::new(ring::default_provider()))?.with_root_certificates(system_roots());
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

fn builder(provider: &Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, DriverError> {
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| DriverError::Unable(format!("set TLS up: {error}")))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_of(file: &str) -> Result<RootCertStore, DriverError> {
    let unable = |why: &str| DriverError::Unable(format!("read the certificates of {file}: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unable(&error.to_string()))? {
        let certificate = certificate.map_err(|error| unable(&error.to_string()))?;
        roots.add(certificate).map_err(|error| unable(&error.to_string()))?;
    }
    if roots.is_empty() { Err(unable("it has none")) } else { Ok(roots) }
}

/// Believes any certificate, of which the holder must have the key all the same.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
