//! `agentmesh card keygen`.

use crate::cli::{CardKeygenArgs, KeyAlgorithm};
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::Printer;
use mesh_card::{Algorithm, Jwk, PrivateKey};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// Runs the command.
pub(crate) fn run(args: &CardKeygenArgs, printer: &Printer) -> Outcome {
    let algorithm = match args.algorithm {
        KeyAlgorithm::Es256 => Algorithm::Es256,
        KeyAlgorithm::Eddsa => Algorithm::EdDsa,
    };
    let (key, pem) = PrivateKey::generate(algorithm).map_err(|error| Failure::failed(error.to_string()))?;
    let shown = args.file.display();
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.file);
    written.and_then(|mut file| file.write_all(pem.as_bytes())).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("{shown} is there already"))
            .hint("a key that is overwritten is lost; name another file"),
        _ => Failure::usage(format!("cannot write {shown}: {error}")),
    })?;
    let public = key.public();
    let public = Jwk { kid: Some(public.thumbprint()), purpose: Some("sig".to_owned()), ..public };
    printer.document(&public)?;
    printer.note(&format!(
        "{shown} holds the private key; above is the public one. Sign with it: card: {{ signing: {{ key_file: {shown} }} }}"
    ));
    Ok(ExitStatus::Ok)
}
