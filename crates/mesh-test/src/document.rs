//! Sections of the documents that runs write their figures into.

use std::io;
use std::path::Path;

/// Replaces a section of second level, up to the next one, or adds it at the end.
///
/// # Errors
/// The document cannot be written.
pub fn write_section(document: &Path, heading: &str, body: &str) -> io::Result<()> {
    let before = std::fs::read_to_string(document).unwrap_or_default();
    std::fs::write(document, with_section(&before, heading, body))
}

fn with_section(document: &str, heading: &str, body: &str) -> String {
    let mut parts: Vec<_> = document.split("\n## ").map(|part| part.trim_end().to_owned()).collect();
    let section = format!("{heading}\n\n{}", body.trim_end());
    let is_it = |part: &&mut String| part.lines().next() == Some(heading);
    match parts.iter_mut().skip(1).find(is_it) {
        Some(part) => *part = section,
        None => parts.push(section),
    }
    format!("{}\n", parts.join("\n\n## "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_where_it_is_or_added_at_the_end() {
        let document = "# A\n\ntext\n\n## One\n\n1\n\n## Two\n\n2\n";
        assert_eq!(with_section(document, "One", "new"), "# A\n\ntext\n\n## One\n\nnew\n\n## Two\n\n2\n");
        assert_eq!(with_section(document, "Three", "3"), format!("{document}\n## Three\n\n3\n"));
        assert_eq!(with_section("# A\n", "B", "b\n"), "# A\n\n## B\n\nb\n");
    }
}
