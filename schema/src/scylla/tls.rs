//! TLS towards the nodes of a cluster: which certificates are believed and which one is shown. Not the connection.

use super::cluster::{CqlTls, refused};
use crate::error::OpenError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|e| refused(&file.display().to_string(), e))?;
    if all.is_empty() {
        return Err(refused(&file.display().to_string(), "no certificate in it"));
    }
    Ok(all)
}

/// The driver's TLS settings.
pub(super) fn config(tls: &CqlTls) -> Result<Arc<ClientConfig>, OpenError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|e| refused(&file.display().to_string(), e))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refused("TLS", e))?
        .with_root_certificates(roots);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key_der =
                PrivateKeyDer::from_pem_file(key).map_err(|e| refused(&key.display().to_string(), e))?;
            builder.with_client_auth_cert(chain, key_der).map_err(|e| refused("our own certificate", e))?
        }
    };
    Ok(Arc::new(config))
}
