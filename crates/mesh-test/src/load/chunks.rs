//! Undoes the chunked coding of HTTP/1.1 (RFC 9112, section 7.1): proxies cut where they like.

/// Longest line with a size.
const LONGEST: usize = 64;

/// Where in a body we are.
#[derive(Debug)]
enum At {
    /// In the line that says how long the next chunk is.
    Size(Vec<u8>),
    /// In a chunk, so many bytes before its end.
    Data(usize),
    /// In the line break behind a chunk, so many bytes before its end.
    Break(usize),
    /// Behind the last chunk.
    End,
}

/// Takes a body in pieces.
#[derive(Debug)]
pub(super) struct Chunks(At);

impl Default for Chunks {
    fn default() -> Self {
        Self(At::Size(Vec::new()))
    }
}

impl Chunks {
    /// Appends the content of a piece.
    pub(super) fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.0 {
                At::End => return Ok(()),
                At::Size(line) => {
                    bytes = rest;
                    if *first != b'\n' {
                        line.push(*first);
                        if line.len() > LONGEST {
                            return Err("a chunk has no size".to_owned());
                        }
                        continue;
                    }
                    let text = String::from_utf8_lossy(line);
                    let size = text.split(';').next().unwrap_or_default().trim();
                    let size =
                        usize::from_str_radix(size, 16).map_err(|_| format!("a chunk of size `{size}`"))?;
                    self.0 = if size == 0 { At::End } else { At::Data(size) };
                }
                At::Data(left) => {
                    let (now, later) = bytes.split_at((*left).min(bytes.len()));
                    out.extend_from_slice(now);
                    bytes = later;
                    *left -= now.len();
                    if *left == 0 {
                        self.0 = At::Break(2);
                    }
                }
                At::Break(left) => {
                    bytes = rest;
                    *left -= 1;
                    if *left == 0 {
                        self.0 = At::Size(Vec::new());
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_the_same_however_it_was_cut() {
        let body = b"3\r\nabc\r\n1a;x=y\r\nABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n0\r\n\r\n";
        for size in 1..body.len() {
            let (mut chunks, mut out) = (Chunks::default(), Vec::new());
            body.chunks(size).for_each(|piece| chunks.take(piece, &mut out).unwrap());
            assert_eq!(out, b"abcABCDEFGHIJKLMNOPQRSTUVWXYZ", "{size}");
        }
        assert!(Chunks::default().take(b"x\r\n", &mut Vec::new()).is_err());
    }
}
