use mesh_config::{LoadOptions, Mesh, Report};

/// The environment of the tests.
pub(crate) fn env(name: &str) -> Option<String> {
    let value = match name {
        "MODEL_BASE_URL" => "http://127.0.0.1:9000/v1",
        "MODEL_KEY" => "sk-hidden",
        "TOKEN" => "Bearer hidden",
        "EIGHT" => "8",
        "EMPTY" => "",
        "BAD" => "hidden value",
        _ => return None,
    };
    Some(value.to_owned())
}

pub(crate) fn parse(text: &str) -> Result<Mesh, Report> {
    mesh_config::parse(text, "/demo/mesh.yaml", &LoadOptions::new(&env))
}

/// A file that must be right.
pub(crate) fn good(text: &str) -> Mesh {
    parse(text).unwrap_or_else(|report| panic!("{report}"))
}

/// What is said about a file that must be wrong.
pub(crate) fn bad(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    match mesh_config::parse(text, "mesh.yaml", &LoadOptions::new(&env)) {
        Ok(mesh) => panic!("this should be wrong: {mesh:#?}"),
        Err(report) => report.to_string(),
    }
}

/// A file that says everything there is to say.
pub(crate) const FULL: &str = r#"
mesh: sales-demo
storage: { path: .agentmesh, durability: relaxed }
gateway:
  listen: 127.0.0.1:3003
  call_timeout: 1m30s
  audit: audit.jsonl
  watch: tools.d
  reload: manual
admin: { listen: 127.0.0.1:3004 }
model: { base_url: "${MODEL_BASE_URL}", name: "${MODEL_NAME:-demo}", key: "${MODEL_KEY:-}" }
tools:
  crm:
    command: [python, crm.py]
    category: crm
    env: { K: V }
    cwd: .
    timeout: 30s
    concurrency: 64
    queue: 256
    tags: [sales]
    description: Customers
    include: [get_*, find]
    exclude: [get_secret]
    tools:
      "get_*": { category: people, tags: [read], read_only: true, idempotent: true }
      get_old: { hidden: true, description: "Costs 3$" }
    split: { to: analytics, percent: 10, by: principal }
    shadow: { to: analytics, percent: 5, writes: true, concurrency: 2 }
  analytics:
    url: "http://127.0.0.1:9001/mcp"
    category: analytics
    headers: { Authorization: "${TOKEN}", x-team: sales }
toolsets:
  kit:
    description: What sales needs
    tools:
      - "crm/get_*"
      - tool: crm/find
        name: lookup
        title: Lookup
        description: Finds customers
        arguments:
          region: { value: eu }
          verbose: { value: [1, { a: "$x" }], hide: false }
          limit: { default: 10, description: How many }
          debug: { hide: true }
agents:
  sales:
    listen: 127.0.0.1:8092
    public_url: "http://sales.example"
    worker:
      python: "sales:crew"
      venv: ../../.envs/crewai
      env: { A: "1" }
      cwd: src
      start_timeout: 60s
      health_interval: 10s
      health_timeout: 30s
    card:
      name: Sales
      description: Sells
      version: 1.10
      provider: { organization: Example, url: "https://example.org" }
      documentation_url: "https://example.org/docs"
      skills:
        - id: quote
          name: Quote
          description: Makes quotes
          tags: [sales]
          examples: ["A quote for 3 chairs: please"]
          input_modes: [text/plain]
          output_modes: [application/json]
      input_modes: [text/plain]
      output_modes: [text/plain]
      icon_url: https://example.com/icon.png
      extensions:
        - { uri: "https://example.com/geo/v1", required: true, description: places, params: { unit: km, deep: [1, 2.5, true, "3", null] } }
      extended: { description: For partners, skills: [{ id: discount }] }
      signing: { key: "${TOKEN}", kid: one, jku: "https://example.com/jwks.json" }
    tools: ["crm/get_customer", "analytics/*", "kit/lookup"]
    peers: [marketing]
    tasks: { concurrency: "${EIGHT}", queue: 1000, on_worker_loss: { retry: 3 }, cancel_grace: 1s, timeout: 1h }
  marketing:
    listen: 127.0.0.1:8093
    worker: { command: [./marketing, --fast] }
    tasks: { on_worker_loss: fail }
access: { auth: off, tenant: default, principal: local }
limits:
  body: 4MiB
  depth: 64
  connections: 4096
  worker_line: 16MiB
  event: 1MiB
  task_bytes: 64MiB
  task_events: 100000
  header_timeout: 10s
  keep_alive: 15s
  compress_from: 8KiB
  streams_per_task: 10000
  tool_result: 16MiB
  context_entry: 64KiB
  context_entries: 256
  context_key: 128
telemetry: { log: json, level: debug, otlp: "http://127.0.0.1:4318" }
"#;
