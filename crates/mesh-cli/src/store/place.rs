//! Which store is meant.

use crate::cli::StoreArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::run::LOG_FILE;
use mesh_config::{LoadOptions, Mesh};
use mesh_log::StoreFile;

/// A store.
pub(crate) enum Place {
    /// A file.
    File(StoreFile),
    /// NATS JetStream, as the mesh file has it.
    Nats(Box<Mesh>),
}

impl Place {
    /// The one that the arguments name.
    pub(crate) fn of(args: &StoreArgs) -> Outcome<Self> {
        if let Some(path) = &args.storage {
            if path.to_str().is_some_and(|text| text.contains("://")) {
                return Err(Failure::usage("--storage is a directory or a file")
                    .hint("a store in NATS is named by the mesh file: -f FILE"));
            }
            // A directory, or the file itself; what is not there yet is a directory.
            let path = if path.is_file() { path.clone() } else { path.join(LOG_FILE) };
            return Ok(Self::File(StoreFile::at(path)));
        }
        let env = |name: &str| std::env::var(name).ok();
        let options = LoadOptions::new(&env).insecure(true);
        let mesh = mesh_config::load(&args.file, &options).map_err(|report| {
            Failure::new(ExitStatus::InvalidConfig, report.to_string())
                .hint("--storage DIR names a store without a mesh file")
        })?;
        if mesh.storage.nats.is_some() {
            return Ok(Self::Nats(Box::new(mesh)));
        }
        Ok(Self::File(StoreFile::at(mesh.storage.path.join(LOG_FILE))))
    }
}

/// The file that the arguments name; `nats` says which tool does it for a store in NATS.
pub(crate) fn sqlite(args: &StoreArgs, nats: impl FnOnce(&str) -> String) -> Outcome<StoreFile> {
    match Place::of(args)? {
        Place::File(file) => Ok(file),
        Place::Nats(mesh) => {
            let failure = Failure::usage("the tasks of this mesh are in NATS JetStream, not in a file");
            Err(failure.hint(nats(&mesh.mesh)))
        }
    }
}
