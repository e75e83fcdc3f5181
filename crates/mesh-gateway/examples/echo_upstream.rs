//! A small MCP server over stdio with every habit that the gateway's tests need. Not a model of a good server.
//!
//! `echo_upstream [--legacy | --strict] [--record FILE]`: it speaks both generations, or only those with a handshake; strict
//! ends at any first message but `initialize`. Every line it reads is appended to the file.

use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufRead, Write};

struct Server {
    legacy: bool,
    strict: bool,
    initialized: bool,
    record: Option<File>,
    extra_tools: usize,
}

fn main() -> io::Result<()> {
    let mut server =
        Server { legacy: false, strict: false, initialized: false, record: None, extra_tools: 0 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--legacy" => server.legacy = true,
            "--strict" => (server.legacy, server.strict) = (true, true),
            "--record" => {
                let path = arguments.next().unwrap_or_default();
                server.record = Some(File::options().create(true).append(true).open(path)?);
            }
            other => return Err(io::Error::other(format!("unknown argument {other}"))),
        }
    }
    for line in io::stdin().lock().lines() {
        let line = line?;
        if let Some(record) = &mut server.record {
            writeln!(record, "{line}")?;
        }
        let message: Value = serde_json::from_str(&line)?;
        let method = message["method"].as_str().unwrap_or_default();
        if server.strict && !server.initialized && method != "initialize" {
            return Err(io::Error::other("expected initialize"));
        }
        server.handle(&message, method, &line)?;
    }
    Ok(())
}

impl Server {
    fn handle(&mut self, message: &Value, method: &str, line: &str) -> io::Result<()> {
        let id = &message["id"];
        match method {
            "server/discover" if self.legacy => error(id, -32601, "unknown method"),
            "server/discover" => result(
                id,
                &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
            ),
            "initialize" => {
                self.initialized = true;
                let version = &message["params"]["protocolVersion"];
                result(
                    id,
                    &json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "echo", "version": "1"}}),
                )
            }
            "tools/list" => self.list(id, &message["params"]["cursor"]),
            "tools/call" => self.call(id, &message["params"], line),
            _ => Ok(()),
        }
    }

    /// Two pages.
    fn list(&self, id: &Value, cursor: &Value) -> io::Result<()> {
        if cursor.is_null() {
            let first = r#"{"name":"echo","inputSchema":{"type":"object"},"x-unknown":{"n":1.0,"big":123456789012345678901234567890}}"#;
            return raw(id, &format!(r#"{{"tools":[{first}],"nextCursor":"2"}}"#));
        }
        let mut tools: Vec<_> = [
            "fail", "hang", "progress", "exit", "big", "noise", "child", "add.tool", "env", "meta", "refuse",
        ]
        .map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))
        .into();
        tools.extend((0..self.extra_tools).map(|n| json!({"name": format!("extra{n}"), "inputSchema": {}})));
        result(id, &json!({ "tools": tools }))
    }

    fn call(&mut self, id: &Value, params: &Value, line: &str) -> io::Result<()> {
        let text = |text: String| json!({"content": [{"type": "text", "text": text}]});
        match params["name"].as_str().unwrap_or_default() {
            // The arguments come back byte for byte.
            "echo" => {
                let arguments = line.split_once(r#""arguments":"#).map_or("null", |(_, rest)| rest);
                let end = arguments.find(r#","_meta""#).unwrap_or(arguments.len());
                raw(id, &format!(r#"{{"content":[],"structuredContent":{},"x":1.0}}"#, &arguments[..end]))
            }
            "fail" => result(id, &json!({"content": [], "isError": true})),
            "refuse" => error(id, -32602, "no such thing"),
            "hang" => Ok(()),
            "progress" => {
                let token = &params["_meta"]["progressToken"];
                for n in [1, 2] {
                    let params = json!({"progressToken": token, "progress": n, "x-more": true});
                    write(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))?;
                }
                result(id, &text("done".to_owned()))
            }
            "exit" => Err(io::Error::other("asked to")),
            "big" => {
                let size = params["arguments"]["bytes"].as_u64().unwrap_or_default();
                result(id, &text("x".repeat(usize::try_from(size).unwrap_or_default())))
            }
            "noise" => {
                writeln!(io::stdout(), "This is not JSON.\n\n[]\n{{\"jsonrpc\":\"2.0\"}}")?;
                result(id, &text("quiet".to_owned()))
            }
            "child" => {
                let child = std::process::Command::new("sleep").arg("1000").spawn()?;
                result(id, &text(format!("{} {}", std::process::id(), child.id())))
            }
            "add.tool" => {
                self.extra_tools += 1;
                write(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))?;
                result(id, &text("added".to_owned()))
            }
            "env" => {
                let mut names: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
                names.sort();
                result(id, &text(names.join(" ")))
            }
            "meta" => result(id, &json!({"content": [], "structuredContent": params["_meta"]})),
            name => error(id, -32602, &format!("unknown tool {name}")),
        }
    }
}

fn result(id: &Value, result: &Value) -> io::Result<()> {
    raw(id, &result.to_string())
}

fn raw(id: &Value, result: &str) -> io::Result<()> {
    writeln!(io::stdout(), r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn error(id: &Value, code: i32, message: &str) -> io::Result<()> {
    write(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}))
}

fn write(message: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{message}")
}
