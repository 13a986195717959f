//! Encryption of connections: rustls, with what a [`Trust`] says about certificates.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::target::Trust;
use crate::ensure::EnsureError;

/// The connector for a trust.
///
/// # Errors
/// [`EnsureError::Url`] where a file that the URL names cannot be read.
pub fn connector(trust: &Trust) -> Result<MakeRustlsConnect, EnsureError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(format!("TLS cannot be set up: {error}")))?;
    let builder = if trust.verify {
        builder.with_root_certificates(roots(trust)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    };
    let config = match &trust.client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| bad(format!("sslkey {}: {error}", key.display())))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| bad(format!("sslcert {}: {error}", cert.display())))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Who may sign a server's certificate.
fn roots(trust: &Trust) -> Result<RootCertStore, EnsureError> {
    let mut store = RootCertStore::empty();
    let certificates = match &trust.root {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (taken, _) = store.add_parsable_certificates(certificates);
    if taken == 0 {
        let place = trust.root.as_ref().map_or_else(
            || "the system's store of certificates is empty".to_owned(),
            |path| format!("sslrootcert {} holds no certificate", path.display()),
        );
        return Err(bad(format!("{place}; give a PEM file as sslrootcert")));
    }
    Ok(store)
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, EnsureError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| bad(format!("{}: {error}", path.display())))
}

fn bad(problem: String) -> EnsureError {
    EnsureError::Url { problem }
}

/// Believes any certificate, as `libpq` does with `sslmode=prefer` and `require`: what is sent is
/// encrypted, but not necessarily for the right one.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
