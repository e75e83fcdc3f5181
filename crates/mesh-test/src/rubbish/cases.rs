//! One malformed request after the other.

use super::http::{broken_http, request};
use super::mutate::{mutate, strange};
use super::requests::valid;
use crate::random::Random;
use serde_json::{Value, json};

/// What kind of server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// An A2A 1.0 JSON-RPC endpoint, with the HTTP+JSON paths beside it.
    A2a,
    /// An MCP endpoint.
    Mcp,
    /// Any HTTP server.
    Http,
}

/// What an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// HTTP is broken: below 500, or no answer and a closed connection.
    BelowFiveHundredOrClosed,
    /// Below 500.
    BelowFiveHundred,
    /// Below 500, and a JSON-RPC response.
    JsonRpc,
    /// Below 500, and a JSON-RPC error.
    JsonRpcError,
}

/// One malformed request.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number for this seed.
    pub number: u64,
    /// What is wrong with it.
    pub name: &'static str,
    /// What is sent.
    pub wire: Vec<u8>,
    /// Whether the server can know that nothing more comes; otherwise the connection is half-closed.
    pub complete: bool,
    /// What is demanded of the answer.
    pub demand: Demand,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Site {
    /// What it serves.
    pub kind: Kind,
    /// `host:port`.
    pub authority: String,
    /// Path of the endpoint.
    pub path: String,
    /// A tool that exists, for MCP.
    pub tool: String,
    /// Headers of every request, `Name: value`: credentials, a session.
    pub headers: Vec<String>,
}

/// The endless sequence of cases of a seed.
pub struct Cases {
    site: Site,
    random: Random,
    number: u64,
}

impl Cases {
    /// The cases of a seed for a site.
    pub fn new(site: Site, seed: u64) -> Self {
        Self { site, random: Random::new(seed), number: 0 }
    }

    /// A request that is right but for its method: every JSON-RPC server answers it with an error.
    pub fn closing(&self) -> Case {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "rubbish/unknown", "params": {}}).to_string();
        let mut case = self.json("unknown method", body.into_bytes(), Demand::JsonRpcError);
        if self.site.kind == Kind::Http {
            case.demand = Demand::BelowFiveHundred;
        }
        case
    }

    fn json(&self, name: &'static str, body: Vec<u8>, demand: Demand) -> Case {
        let headers = self.headers(&["Content-Type: application/json"]);
        self.case(name, request("POST", &self.site.path, &self.site.authority, &headers, &body), demand)
    }

    fn case(&self, name: &'static str, wire: Vec<u8>, demand: Demand) -> Case {
        Case { number: self.number, name, wire, complete: true, demand }
    }

    fn headers(&self, more: &[&str]) -> Vec<String> {
        let of_kind: &[&str] = match self.site.kind {
            Kind::A2a => &["A2A-Version: 1.0"],
            Kind::Mcp => &["Accept: application/json, text/event-stream"],
            Kind::Http => &[],
        };
        let all = self.site.headers.iter().map(String::as_str).chain(of_kind.iter().copied());
        all.chain(more.iter().copied()).map(str::to_owned).collect()
    }

    fn valid(&mut self) -> Value {
        valid(self.site.kind, &self.site.tool, &mut self.random)
    }

    fn json_rpc(&mut self) -> Case {
        match self.random.below(12) {
            0 => {
                let body = self.valid().to_string().into_bytes();
                let end = 1 + self.random.below(body.len() - 1);
                self.json("truncated JSON", body[..end].to_vec(), Demand::JsonRpcError)
            }
            1 => {
                let mut body = self.valid().to_string().into_bytes();
                let at = self.random.below(body.len());
                body.splice(at..at, [0xff, 0xfe, 0xc0]);
                self.json("invalid UTF-8", body, Demand::JsonRpcError)
            }
            2 => {
                let count = self.random.below(200);
                let mut body = self.random.bytes(count);
                body.insert(0, b'\\');
                self.json("random bytes as JSON", body, Demand::JsonRpcError)
            }
            3 => {
                let body = match self.random.below(4) {
                    0 => Value::Array(vec![self.valid(), self.valid()]),
                    1 => json!([]),
                    2 => json!([1, null, [[]]]),
                    _ => self.random.pick(&[&json!(42), &json!("x"), &json!(null), &json!(false)]).clone(),
                };
                self.json("not an object", body.to_string().into_bytes(), Demand::JsonRpcError)
            }
            4 => self.envelope(),
            5 => {
                let mut body = self.valid();
                let id = self.random.pick(&[&json!({}), &json!([1]), &json!(true)]).clone();
                body["id"] = id;
                self.json("impossible id", body.to_string().into_bytes(), Demand::JsonRpcError)
            }
            6 => {
                let mut body = self.valid();
                body["method"] =
                    json!(self.random.pick(&["", "nope", "message/../send", "tools\u{0}/call", "__proto__"]));
                self.json("unknown method", body.to_string().into_bytes(), Demand::JsonRpcError)
            }
            7 => {
                let depth = 1 << (7 + self.random.below(11));
                let open = self.random.pick(&["[", "{\"a\":"]);
                let mut body = String::from(r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":"#);
                body.push_str(&open.repeat(depth));
                if self.random.one_in(2) {
                    body.push('0');
                    body.push_str(&if open == "[" { "]" } else { "}" }.repeat(depth));
                    body.push('}');
                }
                self.json("deep nesting", body.into_bytes(), Demand::JsonRpcError)
            }
            8 => {
                let mut body = self.valid().to_string();
                body.insert_str(1, r#""params":{"id":"first"},"method":"first","id":7,"#);
                self.json("keys twice", body.into_bytes(), Demand::JsonRpc)
            }
            _ => {
                let mut body = self.valid();
                for _ in 0..=self.random.below(3) {
                    mutate(&mut body["params"], &mut self.random);
                }
                self.json("strange parameters", body.to_string().into_bytes(), Demand::JsonRpc)
            }
        }
    }

    /// Something is wrong with `jsonrpc`, `method` or `params` themselves.
    fn envelope(&mut self) -> Case {
        let mut body = self.valid();
        let demand = match self.random.below(6) {
            0 => {
                body["jsonrpc"] = self.random.pick(&[&json!("1.0"), &json!(2.0), &json!(null)]).clone();
                Demand::JsonRpcError
            }
            1 => {
                body["method"] = self.random.pick(&[&json!(7), &json!(null), &json!({})]).clone();
                Demand::JsonRpcError
            }
            2 => {
                body["params"] = self.random.pick(&[&json!("x"), &json!(7), &json!([1, 2])]).clone();
                Demand::JsonRpcError
            }
            3 => {
                // A notification, or a response: neither has an answer.
                let key = self.random.pick(&["id", "method"]);
                body.as_object_mut().map(|fields| fields.remove(key));
                Demand::BelowFiveHundred
            }
            4 => {
                body["id"] =
                    self.random.pick(&[&json!(null), &json!(1.5), &json!(""), &json!(u64::MAX)]).clone();
                Demand::BelowFiveHundred
            }
            _ => {
                mutate(&mut body, &mut self.random);
                Demand::BelowFiveHundred
            }
        };
        self.json("wrong envelope", body.to_string().into_bytes(), demand)
    }

    fn around_json_rpc(&mut self) -> Case {
        let Site { authority, path, .. } = self.site.clone();
        let body = self.valid().to_string().into_bytes();
        match self.random.below(5) {
            0 => {
                let header = self.random.pick(&[
                    "X-No: content type",
                    "Content-Type: text/plain",
                    "Content-Type: ",
                    "Content-Type: application/xml",
                    "Content-Type: application/json; charset=utf-16",
                    "Content-Type: multipart/form-data",
                    "Content-Type: application/json\r\nContent-Encoding: gzip",
                ]);
                let wire = request("POST", &path, &authority, &self.headers(&[header]), &body);
                self.case("wrong content type", wire, Demand::BelowFiveHundred)
            }
            1 => {
                let method = self
                    .random
                    .pick(&["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW", "post"]);
                let wire = request(method, &path, &authority, &self.headers(&[]), &body);
                self.case("wrong method", wire, Demand::BelowFiveHundred)
            }
            2 => {
                let header = self.random.pick(&[
                    "A2A-Version: 99.0",
                    "A2A-Version: banana",
                    "A2A-Version: ",
                    "A2A-Extensions: ,,,;;",
                    "MCP-Protocol-Version: 1999-01-01",
                    "Mcp-Session-Id: nobody",
                    "Mcp-Session-Id: \u{7f}",
                    "Mcp-Method: ?",
                    "Mcp-Name: =?base64?%%%?=",
                    "Last-Event-ID: -1",
                    "Accept: nothing/at-all",
                    "traceparent: 00-00-00-00",
                    "Authorization: Bearer",
                    "Authorization: \u{e9}",
                    "Origin: null",
                    "Host: ",
                    "Expect: 100-continue",
                    "Expect: the-unexpected",
                    "Range: bytes=0-1",
                ]);
                let headers = self.headers(&["Content-Type: application/json", header]);
                let wire = request("POST", &path, &authority, &headers, &body);
                self.case("strange header", wire, Demand::BelowFiveHundredOrClosed)
            }
            3 if self.random.one_in(8) => {
                let mut huge = body;
                huge.truncate(huge.len() - 1);
                huge.extend_from_slice(br#","pad":""#);
                huge.resize(24 << 20, b'x');
                huge.extend_from_slice(br#""}"#);
                let mut case = self.json("huge body", huge, Demand::BelowFiveHundredOrClosed);
                case.complete = true;
                case
            }
            _ => self.path_case(),
        }
    }

    fn path_case(&mut self) -> Case {
        let base = self.site.path.trim_end_matches('/').to_owned();
        let tail = self.random.pick(&[
            "/message:send",
            "/message:stream",
            "/message:nothing",
            "/tasks",
            "/tasks?pageSize=banana",
            "/tasks?pageSize=-1&pageToken=%ff&status=NONE&statusTimestampAfter=yesterday",
            "/tasks/x",
            "/tasks/x:cancel",
            "/tasks/x:subscribe",
            "/tasks/%00:cancel",
            "/tasks/x/pushNotificationConfigs",
            "/tasks/%2e%2e%2f/pushNotificationConfigs/%ff",
            "/extendedAgentCard",
            "/..%2f..%2fetc/passwd",
            "//",
            "/%",
            "/%zz?%zz=%",
            "/.well-known/agent-card.json",
            "/.well-known/nothing",
            "/mcp/nobody",
            "/agents/nobody",
            "/agents/%ff/tasks",
            "/search",
            "/console/../../etc/passwd",
            "/console",
            "/metrics",
            "/healthz?x=%",
            "/readyz",
            "/api/tasks?limit=banana",
            "/api/%ff",
            "/v1/message:send",
            "/?a=b&a=c&&&==",
        ]);
        let method = self.random.pick(&["GET", "POST", "DELETE", "PUT"]);
        let path =
            if self.random.one_in(10) { format!("{base}/{}", "x".repeat(20_000)) } else { base + tail };
        let body = match self.random.below(4) {
            0 => Vec::new(),
            1 => strange(&mut self.random).to_string().into_bytes(),
            2 => {
                let mut body = self.valid()["params"].take();
                mutate(&mut body, &mut self.random);
                body.to_string().into_bytes()
            }
            _ => self.random.bytes(40),
        };
        let headers = self.headers(&["Content-Type: application/json"]);
        let wire = request(method, &path, &self.site.authority, &headers, &body);
        self.case("path", wire, Demand::BelowFiveHundredOrClosed)
    }
}

impl Iterator for Cases {
    type Item = Case;

    fn next(&mut self) -> Option<Case> {
        self.number += 1;
        let json_rpc = self.site.kind != Kind::Http;
        Some(match self.random.below(10) {
            0 => {
                let wire = broken_http(&self.site.path, &self.site.authority, &mut self.random);
                let demand = Demand::BelowFiveHundredOrClosed;
                Case { complete: false, ..self.case("broken HTTP", wire, demand) }
            }
            1..=6 if json_rpc => self.json_rpc(),
            1..=3 => self.path_case(),
            _ => self.around_json_rpc(),
        })
    }
}
