//! From a file to a mesh.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use crate::context::Context;
use crate::diagnostic::{Diagnostic, Report};
use crate::model::{Fragment, Mesh};
use crate::render::{Finding, report};
use crate::secret::names_secret;
use crate::section::Kind;
use crate::source::{Source, Span};
use crate::tree::{self, Node, Value};

/// Largest file that is read.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// How a file is to be read.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// What `${VAR}` means.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Whether listening on other than loopback addresses without authentication is only worth a warning.
    pub insecure: bool,
}

impl<'a> LoadOptions<'a> {
    /// Looks variables up in `env` and insists on safe settings.
    pub fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, insecure: false }
    }

    /// Sets whether unsafe settings are only worth a warning.
    #[must_use]
    pub const fn insecure(self, insecure: bool) -> Self {
        Self { insecure, ..self }
    }
}

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions").field("insecure", &self.insecure).finish_non_exhaustive()
    }
}

/// What came out of looking at a file.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The mesh; `None` if the report has errors.
    pub mesh: Option<Mesh>,
    /// Errors and warnings.
    pub report: Report,
}

/// Reads the file at `path`.
///
/// # Errors
/// Everything that is wrong with it, also when it cannot be read at all.
pub fn load(path: &Path, options: &LoadOptions<'_>) -> Result<Mesh, Report> {
    let file_name = path.to_string_lossy();
    let text = read(path).map_err(|message| whole_file(&file_name, message))?;
    // Paths in the mesh are handed to processes with other working directories.
    let folder = std::path::absolute(path)
        .map_err(|error| whole_file(&file_name, format!("cannot find the folder of the file: {error}")))?;
    finish(check_in(&text, &file_name, folder.parent().unwrap_or_else(|| Path::new("/")), options))
}

/// Reads a file that is already in memory. Does no I/O: relative paths start in the folder that `file_name` says.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, file_name: &str, options: &LoadOptions<'_>) -> Result<Mesh, Report> {
    finish(check(text, file_name, options))
}

/// Like [`parse`], with warnings also when there are no errors.
#[must_use]
pub fn check(text: &str, file_name: &str, options: &LoadOptions<'_>) -> Checked {
    check_in(text, file_name, Path::new(file_name).parent().unwrap_or_else(|| Path::new("")), options)
}

/// Reads a file of the watched directory. `taken` has the names that upstreams and toolsets elsewhere have, each with the place.
///
/// # Errors
/// Everything that is wrong with it, also when it cannot be read at all.
pub fn load_fragment(
    path: &Path,
    taken: &BTreeMap<String, String>,
    options: &LoadOptions<'_>,
) -> Result<Fragment, Report> {
    let file_name = path.to_string_lossy();
    let text = read(path).map_err(|message| whole_file(&file_name, message))?;
    let absolute = std::path::absolute(path)
        .map_err(|error| whole_file(&file_name, format!("cannot find the folder of the file: {error}")))?;
    let folder = absolute.parent().unwrap_or_else(|| Path::new("/"));
    fragment_in(&text, &file_name, folder, taken, options)
}

/// Reads a file of the watched directory that is already in memory. Does no I/O.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_fragment(
    text: &str,
    file_name: &str,
    taken: &BTreeMap<String, String>,
    options: &LoadOptions<'_>,
) -> Result<Fragment, Report> {
    let folder = Path::new(file_name).parent().unwrap_or_else(|| Path::new(""));
    fragment_in(text, file_name, folder, taken, options)
}

fn fragment_in(
    text: &str,
    file_name: &str,
    folder: &Path,
    taken: &BTreeMap<String, String>,
    options: &LoadOptions<'_>,
) -> Result<Fragment, Report> {
    let (fragment, report) = read_in(text, file_name, folder, options, |root, cx| {
        cx.whole = "a file of the watched directory";
        let fragment = Fragment::decode(root, cx);
        crate::check::across_fragment(root, taken, cx);
        fragment
    });
    fragment.ok_or(report)
}

fn finish(checked: Checked) -> Result<Mesh, Report> {
    checked.mesh.ok_or(checked.report)
}

fn whole_file(file_name: &str, message: String) -> Report {
    Report { diagnostics: vec![Diagnostic::about_file(file_name, message)], omitted: 0 }
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| format!("cannot open the file: {error}"))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read the file: {error}"))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("the file is not UTF-8 text (after {} bytes)", error.utf8_error().valid_up_to())
    })
}

fn too_large() -> String {
    format!("the file is larger than {MAX_FILE_BYTES} bytes")
}

fn check_in(text: &str, file_name: &str, folder: &Path, options: &LoadOptions<'_>) -> Checked {
    let (mesh, report) = read_in(text, file_name, folder, options, |root, cx| decode(root, cx, options));
    Checked { mesh, report }
}

/// Reads `text` and lets `decode` make something of it. There is nothing if the report has errors.
fn read_in<T>(
    text: &str,
    file_name: &str,
    folder: &Path,
    options: &LoadOptions<'_>,
    decode: impl FnOnce(&Node, &mut Context<'_>) -> Option<T>,
) -> (Option<T>, Report) {
    if text.len() > MAX_FILE_BYTES {
        return (None, whole_file(file_name, too_large()));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(file_name.to_owned(), text);
    let (root, findings) = tree::read(text);
    let Some(root) = root else {
        return (None, report(findings, 0, &source, &[]));
    };
    let mut cx = Context::new(&source, folder, options.env);
    for Finding { severity, span, message, help } in findings {
        cx.note(severity, span, message, help);
    }
    let empty = Node { span: Span::point(1, 1), value: Value::Map(Vec::new()) };
    let decoded = decode(if root.is_null() { &empty } else { &root }, &mut cx);
    let mut masks = Vec::new();
    find_secrets(&root, "", &mut masks);
    let report = report(cx.findings, cx.omitted, &source, &masks);
    let good = report.errors() == 0;
    (decoded.filter(|_| good), report)
}

fn decode(root: &Node, cx: &mut Context<'_>, options: &LoadOptions<'_>) -> Option<Mesh> {
    let mesh = Mesh::decode(root, cx);
    let auth = mesh.as_ref().map(|mesh| mesh.access.auth);
    crate::check::across(root, auth.unwrap_or(crate::model::Auth::Off), cx, options.insecure);
    mesh.map(|mut mesh| {
        mesh.gateway.audit = mesh.storage.path.join(&mesh.gateway.audit);
        mesh
    })
}

/// Collects the places of values that are secrets by their name, and of URLs with a password. They are never shown in an excerpt.
fn find_secrets(node: &Node, name: &str, masks: &mut Vec<Span>) {
    match &node.value {
        Value::Null => {}
        Value::Scalar { text, .. } => {
            let has_password = text.contains("://") && text.contains('@');
            if has_password || (names_secret(name) && !text.contains("${")) {
                masks.push(node.span);
            }
        }
        Value::List(items) => items.iter().for_each(|item| find_secrets(item, name, masks)),
        Value::Map(entries) => {
            entries.iter().for_each(|entry| find_secrets(&entry.node, &entry.key, masks));
        }
    }
}
