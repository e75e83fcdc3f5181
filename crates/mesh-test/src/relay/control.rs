//! The control port: a line names a mode or is `requests`; the answer is a line.

use super::mode::Mode;
use super::server::RelayHandle;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Serves one connection after the other, for ever.
pub async fn serve_control(listener: TcpListener, relay: RelayHandle) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // Whoever goes away does so without an answer.
            let _ = obey(stream, &relay).await;
        }
    }
}

async fn obey(stream: TcpStream, relay: &RelayHandle) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match (line.trim(), line.trim().parse::<Mode>()) {
            ("requests", _) => relay.requests().to_string(),
            (_, Ok(mode)) => {
                relay.set(mode);
                "ok".to_owned()
            }
            (_, Err(why)) => format!("error: {why}"),
        };
        writing.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}
