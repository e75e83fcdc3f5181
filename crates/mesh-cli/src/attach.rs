//! Files and standard input as parts of a message.

use crate::exit::{Failure, Outcome};
use base64::Engine as _;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt as _;

/// Most bytes of all files together; base64 makes a third more of them.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Most bytes that are read from standard input.
const MAX_STDIN_BYTES: u64 = 8 << 20;

/// All of standard input, as text.
pub(crate) async fn stdin() -> Outcome<String> {
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        std::io::Read::take(std::io::stdin(), MAX_STDIN_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = read
        .await
        .map_err(std::io::Error::from)
        .flatten()
        .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > MAX_STDIN_BYTES {
        return Err(Failure::usage(format!("standard input has more than {} MiB", MAX_STDIN_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage("standard input is not UTF-8 text").hint("attach other content with --file PATH")
    })
}

/// A small text file, or standard input for `-`.
pub(crate) async fn text(path: &Path) -> Outcome<String> {
    if path == Path::new("-") {
        return stdin().await;
    }
    String::from_utf8(read(path, MAX_FILE_BYTES).await?)
        .map_err(|_| Failure::usage(format!("{} is not UTF-8 text", path.display())))
}

/// A part for each file.
pub(crate) async fn files(paths: &[PathBuf]) -> Outcome<Vec<Value>> {
    let mut left = MAX_FILE_BYTES;
    let mut parts = Vec::new();
    for path in paths {
        let bytes = read(path, left).await?;
        left -= bytes.len() as u64;
        let filename = path.file_name().unwrap_or_default().to_string_lossy();
        parts.push(json!({
            "raw": base64::engine::general_purpose::STANDARD.encode(bytes),
            "filename": filename,
            "mediaType": media_type(&filename),
        }));
    }
    Ok(parts)
}

async fn read(path: &Path, limit: u64) -> Outcome<Vec<u8>> {
    let failure = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(failure)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).await.map_err(failure)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::usage(format!(
            "{} is too large: files may have {} MiB in all",
            path.display(),
            MAX_FILE_BYTES >> 20
        ))
        .hint("put it where the agent can fetch it, and send the URL"));
    }
    Ok(bytes)
}

/// What the name's ending says about the content.
fn media_type(filename: &str) -> &'static str {
    let ending = filename.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("csv") => "text/csv",
        Some("css") => "text/css",
        Some("gif") => "image/gif",
        Some("htm" | "html") => "text/html",
        Some("jpeg" | "jpg") => "image/jpeg",
        Some("js" | "mjs") => "text/javascript",
        Some("json") => "application/json",
        Some("md") => "text/markdown",
        Some("mp3") => "audio/mpeg",
        Some("mp4") => "video/mp4",
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("txt" | "log") => "text/plain",
        Some("wav") => "audio/wav",
        Some("webp") => "image/webp",
        Some("xml") => "application/xml",
        Some("yaml" | "yml") => "application/yaml",
        Some("zip") => "application/zip",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_a_raw_part_with_its_name_and_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Figures.CSV");
        std::fs::write(&path, "a,b\n").unwrap();
        assert_eq!(
            files(&[path]).await.unwrap(),
            [json!({"raw": "YSxiCg==", "filename": "Figures.CSV", "mediaType": "text/csv"})]
        );
    }

    #[tokio::test]
    async fn files_are_bounded_in_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES / 2 + 1).unwrap();
        assert!(files(std::slice::from_ref(&path)).await.is_ok());
        let failure = files(&[path.clone(), path]).await.unwrap_err();
        assert_eq!(failure.status, crate::exit::ExitStatus::Usage);
    }
}
